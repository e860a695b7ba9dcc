"""The paper's algorithm written plainly, for a RegressionTransformer or an MLP: what BIMT is measured against.

Section 2.2, Step 3, to the letter: the k most important neurons of a population (Eq. 5) are each exchanged with every
other neuron of it. An exchange moves rows and columns in every tensor that they stand in; then the whole connection
cost is computed anew, and the exchange undone; the best one is kept if it lowers the cost. All layers of the
residual stream share one order, neurons stay inside their heads, whole heads are exchanged in the end (Section 2.3).
The cost is the notebooks' mean per linear layer, [W_Q, W_K, W_V] being one; neuron i of n stands at (i + 1/2) / n.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf import MLP, RegressionTransformer

__all__ = ["Relocation", "naive_cost", "naive_relocation", "naive_step"]

Distances = dict[tuple[int, int], Tensor]
Model = RegressionTransformer | MLP


class Neurons(NamedTuple):
    """A population: (tensor, the axis its neurons stand on). With heads, the axis is that of one head's slice."""

    name: str
    size: int
    heads: int
    tensors: list[tuple[Tensor, int]]


class Relocation(NamedTuple):
    """Cost before and after, candidate exchanges measured and in all, and the neuron now at each position."""

    cost_before: float
    cost_after: float
    measured: int
    total: int
    order: dict[str, list[int]]


def linear_layers(model: Model) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """(weight matrices [in, out], biases) of every linear layer."""
    if isinstance(model, MLP):
        yield from (([layer.weight.T], [layer.bias]) for layer in model.layers)
        return
    yield [model.embed.W_E], [model.embed.b_E]
    for block in model.blocks:
        a, mlp = block.attn, block.mlp
        qkv = [w.permute(1, 0, 2).flatten(1) for w in (a.W_Q, a.W_K, a.W_V)]
        yield qkv, [a.b_Q, a.b_K, a.b_V]
        yield [a.W_O.flatten(0, 1)], [a.b_O]
        yield [mlp.W_in], [mlp.b_in]
        yield [mlp.W_out], [mlp.b_out]
    yield [model.unembed.W_U], [model.unembed.b_U]


def naive_cost(model: Model, width: float = 2.0, layer_gap: float = 0.5, kept: Distances | None = None) -> Tensor:
    """The connection cost (Eqs. 3 and 4), mean per linear layer, of neurons that stand where their index says.

    Differentiable. The distances are computed at each call, as in the notebooks, unless a dict to keep them is given.
    """
    cost = torch.zeros((), dtype=next(model.parameters()).dtype)
    for weights, biases in linear_layers(model):
        wiring = 0.0
        for w in weights:
            d = kept.get(w.shape) if kept is not None else None
            if d is None:
                x_in = (torch.arange(w.shape[0], dtype=w.dtype) + 0.5) / w.shape[0]
                x_out = (torch.arange(w.shape[1], dtype=w.dtype) + 0.5) / w.shape[1]
                d = width * (x_in[:, None] - x_out[None, :]).abs() + layer_gap
                if kept is not None:
                    kept[w.shape] = d
            wiring = wiring + (d * w.abs()).sum()
        cost = cost + wiring / sum(w.numel() for w in weights)
        cost = cost + layer_gap * sum(b.abs().sum() for b in biases) / sum(b.numel() for b in biases)
    return cost


def mlp_populations(model: MLP) -> list[list[Neurons]]:
    """Hidden layers, inputs after the first of them, outputs: any order would do, this one is the library's."""
    layers, sizes = list(model.layers), model.cfg.sizes
    found = []
    for i, (before, after) in enumerate(itertools.pairwise(layers)):
        tensors = [(before.weight, 0), (before.bias, 0), (after.weight, 1)]
        found.append([Neurons(f"hidden{i}", sizes[i + 1], 1, tensors)])
    found.insert(1, [Neurons("input", sizes[0], 1, [(layers[0].weight, 1)])])
    return [*found, [Neurons("output", sizes[-1], 1, [(layers[-1].weight, 0), (layers[-1].bias, 0)])]]


def populations(model: Model) -> list[list[Neurons]]:
    """All populations; those of a block's heads (q/k and v/z) together, since heads are exchanged whole."""
    if isinstance(model, MLP):
        return mlp_populations(model)
    blocks = [(block.attn, block.mlp) for block in model.blocks]
    cfg = model.cfg
    residual = [(model.embed.W_E, 1), (model.embed.b_E, 0), (model.unembed.W_U, 0)]
    for a, mlp in blocks:
        residual += [(a.W_Q, 1), (a.W_K, 1), (a.W_V, 1), (a.W_O, 2), (a.b_O, 0)]
        residual += [(mlp.W_in, 0), (mlp.W_out, 1), (mlp.b_out, 0)]
    found = [
        [Neurons("input", cfg.d_in, 1, [(model.embed.W_E, 0)])],
        [Neurons("residual", cfg.d_model, 1, residual)],
    ]
    for i, (a, mlp) in enumerate(blocks):
        of_heads = cfg.n_heads * cfg.d_head, cfg.n_heads
        found.append(
            [
                Neurons(f"blocks.{i}.qk", *of_heads, [(a.W_Q, 1), (a.W_K, 1), (a.b_Q, 0), (a.b_K, 0)]),
                Neurons(f"blocks.{i}.ov", *of_heads, [(a.W_V, 1), (a.b_V, 0), (a.W_O, 0)]),
            ]
        )
        found.append([Neurons(f"blocks.{i}.mlp", cfg.d_mlp, 1, [(mlp.W_in, 1), (mlp.b_in, 0), (mlp.W_out, 0)])])
    return [*found, [Neurons("output", cfg.d_out, 1, [(model.unembed.W_U, 1), (model.unembed.b_U, 0)])]]


def exchange(tensor: Tensor, axis: int, j: int, k: int) -> None:
    """Exchange rows (columns, ...) j and k of a tensor in place."""
    row = tensor.select(axis, j).clone()
    tensor.select(axis, j).copy_(tensor.select(axis, k))
    tensor.select(axis, k).copy_(row)


def exchange_neurons(neurons: Neurons, j: int, k: int) -> None:
    """Exchange the neurons at positions j and k, of the same head, in every tensor that they stand in."""
    head_size = neurons.size // neurons.heads
    for tensor, axis in neurons.tensors:
        part = tensor[j // head_size] if in_heads(neurons) else tensor
        exchange(part, axis, j % head_size, k % head_size)


def exchange_heads(group: list[Neurons], j: int, k: int) -> None:
    """Exchange two whole heads: their q/k and v/z neurons."""
    for neurons in group:
        for tensor, _ in neurons.tensors:
            exchange(tensor, 0, j, k)


def in_heads(neurons: Neurons) -> bool:
    """Whether the tensors' first axis counts heads."""
    return neurons.name.endswith((".qk", ".ov"))


def importance(neurons: Neurons) -> Tensor:
    """Each neuron's summed |incoming| + |outgoing| weights (Eq. 5)."""
    score = torch.zeros(neurons.size, dtype=torch.float64)
    for tensor, axis in neurons.tensors:
        bias = tensor.ndim - in_heads(neurons) == 1
        if not bias:
            by_neuron = tensor.movedim(axis + 1, 1).flatten(0, 1) if in_heads(neurons) else tensor.movedim(axis, 0)
            score += by_neuron.abs().flatten(1).sum(1)
    return score


@torch.no_grad()
def naive_relocation(
    model: Model,
    top_k: int = 30,
    width: float = 2.0,
    layer_gap: float = 0.5,
    kept: Distances | None = None,
    limit: int | None = None,
) -> Relocation:
    """Step 3 once over all populations, in place: the model's weights move physically.

    The model's function is unchanged but for the order of its inputs and outputs, which ``order`` tells.

    Args:
        model: changed in place; in float64 if the result is to be compared.
        top_k: the paper's k, neurons tried of each population.
        width: A.
        layer_gap: y_star.
        kept: a dict in which the distances are kept between calls of the cost.
        limit: stop after so many candidate exchanges (a partial relocation, for an estimate of its time).
    """
    groups = populations(model)
    order = {neurons.name: list(range(neurons.size)) for group in groups for neurons in group}
    total = sum(min(top_k, n.size) * (n.size // n.heads - 1) for group in groups for n in group)
    total += sum(min(top_k, group[0].heads) * (group[0].heads - 1) for group in groups)
    measured = 0
    before = best = naive_cost(model, width, layer_gap, kept).item()

    def try_all(position: int, partners: list[int], swap) -> int | None:
        """The partner whose exchange lowers the cost most, if one does; everything stands as before."""
        nonlocal best, measured
        found = None
        for partner in partners:
            if measured == limit:
                return None
            swap(position, partner)
            cost = naive_cost(model, width, layer_gap, kept).item()
            swap(position, partner)
            measured += 1
            if cost < best - 1e-12 * before:
                best, found = cost, partner
        return found

    for group in groups:
        for neurons in group:
            here, head_size = order[neurons.name], neurons.size // neurons.heads
            for neuron in torch.argsort(importance(neurons), descending=True, stable=True)[:top_k].tolist():
                j = here.index(neuron)
                first = j - j % head_size
                partners = [k for k in range(first, first + head_size) if k != j]
                k = try_all(j, partners, lambda j, k, neurons=neurons: exchange_neurons(neurons, j, k))
                if k is not None:
                    exchange_neurons(neurons, j, k)
                    here[j], here[k] = here[k], here[j]
        heads = group[0].heads
        if heads > 1:
            score = sum(importance(neurons).reshape(heads, -1).sum(1) for neurons in group)
            standing = list(range(heads))
            for head in torch.argsort(score, descending=True, stable=True)[:top_k].tolist():
                j = standing.index(head)
                partners = [k for k in range(heads) if k != j]
                k = try_all(j, partners, lambda j, k, group=group: exchange_heads(group, j, k))
                if k is not None:
                    exchange_heads(group, j, k)
                    standing[j], standing[k] = standing[k], standing[j]
            for neurons in group:
                size = neurons.size // heads
                parts = [order[neurons.name][h * size : (h + 1) * size] for h in standing]
                order[neurons.name] = list(itertools.chain.from_iterable(parts))
    return Relocation(before, naive_cost(model, width, layer_gap, kept).item(), measured, total, order)


def naive_step(
    model: Model,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[], Tensor],
    lam: float,
    width: float = 2.0,
    layer_gap: float = 0.5,
) -> Tensor:
    """One training step as in the notebooks: the cost is a term of the loss, and autograd finds its gradient."""
    optimizer.zero_grad()
    loss = loss_of() + lam * naive_cost(model, width, layer_gap)
    loss.backward()
    optimizer.step()
    return loss
