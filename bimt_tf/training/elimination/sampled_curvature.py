"""The curvature of many weights, from random gradients: a number a weight, and a small matrix a group of neurons.

With random gradients g whose squares are the curvature H (minibatches.py), the diagonal of H is the mean of g^2. What
joins the weights w_io of a layer, from neurons i to a neuron o, is taken to be alike for all o but for its size:

    H[io, jo] = s_o A[i, j],    A = the mean of sum over o of g_io g_jo,    s_o = o's share of A's trace

which for one layer alone is the second moment of its inputs (optimal brain compression; SparseGPT: Frantar and
Alistarh, 2023), and holds for layers of any kind, for it needs gradients alone. A is kept for groups of up to ``GROUP``
neighbouring neurons i, no more of them than there are o: so it takes no more memory than the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.core.population import Connection
from bimt_tf.training.elimination.minibatches import Minibatches

__all__ = ["Sampled", "grouped", "rows", "sampled_curvature", "unrows"]

GROUP, SMALLEST_GROUP = 128, 16


class Sampled(NamedTuple):
    """``diagonal``: parameter -> H's entries, in its shape; ``joint``: parameter of a connection -> A, by group."""

    diagonal: Mapping[str, Tensor]
    joint: Mapping[str, Float[Tensor, "groups size size"]]


def rows(connection: Connection, weight: Tensor) -> Float[Tensor, "targets sources"]:
    """A connection's weight with a row for each neuron that it writes to; sources are neurons of all copies."""
    flat = connection.flatten(weight)
    return flat.reshape(-1, flat.shape[-1]).mT


def unrows(connection: Connection, weight: Float[Tensor, "targets sources"]) -> Tensor:
    """The inverse of :func:`rows`."""
    own = connection.flatten(torch.empty(connection.shape, device="meta")).shape[1]
    return connection.unflatten(weight.mT.unflatten(0, (-1, own)))


def _group_size(targets: int, sources: int) -> int:
    """How many neighbouring sources have one matrix A."""
    return min(sources, GROUP, max(targets, SMALLEST_GROUP))


def sampled_curvature(
    batches: Minibatches, connections: Mapping[str, Connection], count: int, generator: torch.Generator
) -> Sampled:
    """The curvature of ``batches``'s loss from ``count`` random gradients, each of one minibatch.

    Args:
        batches: the loss and its parameters.
        connections: parameter -> its connection; what has none (biases, tables) gets the diagonal alone.
        count: how many; an entry's relative error is about sqrt(2 / count).
        generator: draws the minibatches and the random gradients; on the CPU.
    """
    diagonal = {name: torch.zeros_like(p, requires_grad=False) for name, p in batches.parameters.items()}
    joint: dict[str, Tensor] = {}
    for gradients in batches.probes(count, generator):
        for name, gradient in zip(batches.parameters, gradients, strict=True):
            diagonal[name].addcmul_(gradient, gradient, value=1 / count)
            if name in connections:
                parts = grouped(rows(connections[name], gradient))
                found = torch.bmm(parts.mT, parts).div_(count)
                joint[name] = joint[name].add_(found) if name in joint else found
    return Sampled(diagonal, joint)


def grouped(weight: Float[Tensor, "targets sources"]) -> Float[Tensor, "groups targets size"]:
    """The columns by group; the last group is filled up with zeros."""
    targets, sources = weight.shape
    size = _group_size(targets, sources)
    filled = torch.nn.functional.pad(weight, (0, -sources % size))
    return filled.unflatten(1, (-1, size)).transpose(0, 1)
