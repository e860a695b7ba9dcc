"""Four ways to choose which weights of a model go, and what the others become (benchmarks/pretrained.py).

magnitude    the smallest of all layers together (Han et al., 2015)
wanda        in each row of each layer the same share: the least |w| times the norm of its input (Sun et al., 2024)
sparsegpt    in each layer the same share, from the second moment H of its inputs: columns go from left to right, what
             goes in one is made up for in those behind it by the Cholesky factor of H^-1 (Frantar and Alistarh, 2023)
elimination  that of ``bimt_tf.eliminate`` on models of many weights, by twice as many random gradients

The second and third are written from the papers. Weights that are zero already stay zero, and count as gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection
from bimt_tf.training.elimination.many_weights import remove_, wire_lengths
from bimt_tf.training.elimination.minibatches import Minibatches
from bimt_tf.training.elimination.sampled_curvature import sampled_curvature

__all__ = ["CRITERIA", "Layers", "Read", "live", "read_by", "swept"]

EXAMPLES = 128
"""Windows that the second moments are measured on, as many as the papers take."""

PROBES = 64
"""Random gradients of elimination's curvature: twice those of the command (large_search.py)."""

DAMPING = 0.01
"""What H's diagonal is raised by, as a share of its mean; the value of both papers' code."""

BLOCK = 128
"""Columns among which SparseGPT chooses at once."""


class Layers(NamedTuple):
    """A model's BIMT, its minibatches (all parameters), and parameter -> the connection of each of its layers."""

    bimt: BIMT
    batches: Minibatches
    connections: Mapping[str, Connection]

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The layers' own parameters."""
        return {name: self.batches.parameters[name] for name in self.connections}


class Read(NamedTuple):
    """A layer's weight as [outputs, inputs], a view of its parameter, and the mean of x x' [inputs, inputs] that it
    reads.
    """

    weight: Tensor
    moment: Tensor


def live(layers: Layers) -> int:
    """Weights of connections that are not zero."""
    return sum(int(p.count_nonzero()) for p in layers.weights.values())


@torch.no_grad()
def read_by(layers: Layers) -> dict[str, Read]:
    """Parameter -> what its layer reads, over positions."""
    found: dict[str, Read] = {}
    hooks = []

    def keeping(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def keep(module: nn.Module, given: tuple[Any, ...]) -> None:
            x, weight = given[0].flatten(0, -2), layers.weights[name].detach()
            by_inputs = type(module).__name__ == "Conv1D"  # transformers' layer, whose weight is [inputs, outputs]
            found[name] = Read(weight.mT if by_inputs else weight, x.mT @ x / len(x))

        return keep

    own = {id(p): name for name, p in layers.weights.items()}
    for module in layers.batches.model.modules():
        if id(module._parameters.get("weight")) in own:
            hooks.append(module.register_forward_pre_hook(keeping(own[id(module._parameters["weight"])])))
    try:
        layers.batches.model(layers.batches.examples.inputs[:: max(1, len(layers.batches.examples.inputs) // EXAMPLES)])
    finally:
        for hook in hooks:
            hook.remove()
    assert found.keys() == layers.weights.keys(), "a layer was not read"
    return found


@torch.no_grad()
def magnitude_(layers: Layers, share: float, generator: torch.Generator) -> None:
    """Leave ``share`` of all weights, the largest."""
    weights = layers.weights
    sizes = torch.cat([p.abs().flatten() for p in weights.values()])
    least = sizes.topk(round(share * len(sizes))).values[-1]
    for p in weights.values():
        p.masked_fill_(p.abs() < least, 0)


@torch.no_grad()
def wanda_(layers: Layers, share: float, generator: torch.Generator) -> None:
    """Leave ``share`` of each row."""
    for weight, moment in read_by(layers).values():
        score = weight.abs() * moment.diagonal().sqrt()
        least = score.topk(round(share * weight.shape[1]), dim=1).values[:, -1:]
        weight.masked_fill_(score < least, 0)


@torch.no_grad()
def sparsegpt_(layers: Layers, share: float, generator: torch.Generator) -> None:
    """Leave ``share`` of each layer, the rest of a row making up for what goes."""
    for weight, moment in read_by(layers).values():
        weight.copy_(swept(weight, moment, share))


def swept(weight: Tensor, moment: Tensor, share: float) -> Tensor:
    """SparseGPT's sweep over the columns of one layer.

    Args:
        weight: [outputs, inputs].
        moment: x x' of its inputs [inputs, inputs].
        share: what is left.
    """
    size = weight.shape[1]
    h = moment.double() + DAMPING * moment.diagonal().mean().double() * torch.eye(size, dtype=torch.float64)
    factor = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    result, was_zero = weight.double().clone(), weight == 0
    for first in range(0, size, BLOCK):
        block = slice(first, min(first + BLOCK, size))
        cost = result[:, block].square() / factor.diagonal()[block].square()
        cost.masked_fill_(was_zero[:, block], -1)
        count = cost.numel() - round(share * cost.numel())
        gone = torch.zeros(cost.numel(), dtype=torch.bool)
        gone[cost.flatten().topk(count, largest=False).indices] = True
        gone = gone.view(cost.shape)
        for column in range(block.start, block.stop):
            going = gone[:, column - first]
            error = result[:, column].where(going, torch.zeros(())) / factor[column, column]
            result[:, column:] -= error[:, None] * factor[column, column:]
            result[going, column] = 0
    return result.masked_fill(was_zero, 0).to(weight.dtype)


@torch.no_grad()
def elimination_(layers: Layers, share: float, generator: torch.Generator) -> None:
    """Leave ``share`` of all weights, as a round of an elimination does."""
    weights = layers.weights
    total = sum(p.numel() for p in weights.values())
    with torch.enable_grad():
        batches = layers.batches._replace(parameters=weights)
        curvature = sampled_curvature(batches, layers.connections, PROBES, generator)
    count = live(layers) - round(share * total)
    remove_(weights, layers.connections, curvature, wire_lengths(layers.bimt, weights), count)


CRITERIA: dict[str, Callable[[Layers, float, torch.Generator], None]] = {
    "magnitude": magnitude_,
    "wanda": wanda_,
    "sparsegpt": sparsegpt_,
    "elimination": elimination_,
}
"""Name -> what takes weights out until ``share`` of all are left."""
