"""Chains of linear layers without the neurons that do nothing: MLP, nn.Sequential and TokenMLP.

A neuron stays if it varies with the input and an output depends on it. One that is constant is folded into the biases
of the layer that reads it; before a layer without biases it stays.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bimt_tf.analysis.compact_plan import Plan, columns_used, rows_used, smaller
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP

__all__ = ["Chain", "compact_chain"]

Chain: TypeAlias = MLP | TokenMLP | nn.Sequential


class _Layer(NamedTuple):
    """A linear layer, its name, and the activation behind it, of a vector [neurons]."""

    name: str
    linear: nn.Linear
    act_fn: Callable[[Tensor], Tensor]


class _Features(NamedTuple):
    """What a layer reads: which features vary with the input, and the value of those that do not."""

    vary: Bool[Tensor, " features"]
    constant: Float[Tensor, " features"]


def compact_chain(model: Chain) -> tuple[nn.Module, Plan]:
    """The smaller chain, and what stays of the whole one."""
    layers = _layers(model)
    read, biases = _forward(layers, _first(model, layers))
    kept = _backward(layers, read, model.cfg.n_tokens if isinstance(model, TokenMLP) else 1)
    plan = Plan({}, {}, {})
    if isinstance(model, TokenMLP):
        table = model.embed.weight.detach()
        width = model.cfg.d_embed
        plan.kept["embed"] = kept[0][kept[0] < width]
        plan.take("embed.weight", table, torch.arange(len(table), device=table.device)[:, None], plan.kept["embed"])
    else:
        plan.kept["input"] = kept[0]
    hidden = [f"hidden{i}" for i in range(len(layers) - 1)]
    plan.kept.update(zip([*hidden, "output"], kept[1:], strict=True))
    for layer, bias, (columns, rows) in zip(layers, biases, pairwise(kept), strict=True):
        plan.take(f"{layer.name}.weight", layer.linear.weight.detach(), rows[:, None], columns)
        if bias is not None:
            plan.take(f"{layer.name}.bias", bias, rows)
    return _resized(model, plan, layers), plan


def _layers(model: Chain) -> list[_Layer]:
    if not isinstance(model, nn.Sequential):
        linears = [cast(nn.Linear, layer) for layer in model.layers]
        acts = [cast(Callable[[Tensor], Tensor], layer.act_fn) for layer in model.layers]
        return [_Layer(f"layers.{i}", *pair) for i, pair in enumerate(zip(linears, acts, strict=True))]
    children = list(model._modules.items())  # named_children leaves out an activation that stands twice
    at = [i for i, (_, child) in enumerate(children) if isinstance(child, nn.Linear)]
    found = []
    for start, end in pairwise([*at, len(children)]):
        between = nn.Sequential(*(copy.deepcopy(child) for _, child in children[start + 1 : end])).eval()
        name, linear = children[start]
        found.append(_Layer(name, cast(nn.Linear, linear), _of_vector(between)))
    return found


def _of_vector(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A module that takes batches, as a function of one example."""
    return lambda example: cast(Tensor, module(example[None])[0])


def _first(model: Chain, layers: list[_Layer]) -> _Features:
    """What the first layer reads: inputs, which all vary, or the tokens' vectors end to end."""
    if isinstance(model, TokenMLP):
        table = model.embed.weight.detach()
        return _Features((table != table[0]).any(0).repeat(model.cfg.n_tokens), table[0].repeat(model.cfg.n_tokens))
    weight = layers[0].linear.weight
    return _Features(torch.ones_like(weight[0], dtype=torch.bool), torch.zeros_like(weight[0]))


@torch.no_grad()
def _forward(layers: list[_Layer], features: _Features) -> tuple[list[_Features], list[Tensor | None]]:
    """What each layer reads, and its biases with the constants folded in."""
    read: list[_Features] = []
    biases: list[Tensor | None] = []
    for layer in layers:
        weight, bias = layer.linear.weight, layer.linear.bias
        vary, constant = features
        if bias is None:
            vary = vary | (constant != 0)
        read.append(_Features(vary, constant))
        folded = weight[:, ~vary] @ constant[~vary] + (0 if bias is None else bias)
        biases.append(None if bias is None else folded)
        features = _Features(rows_used(weight[:, vary]), layer.act_fn(folded))
    return read, biases


@torch.no_grad()
def _backward(layers: list[_Layer], read: list[_Features], n_tokens: int) -> list[Tensor]:
    """The features that stay before each layer, then all outputs; an embedding's neuron stays for all tokens."""
    kept = [torch.arange(len(layers[-1].linear.weight), device=layers[-1].linear.weight.device)]
    for number, layer in reversed(list(enumerate(layers))):
        stays = columns_used(layer.linear.weight[kept[0]]) & read[number].vary
        if number == 0 and n_tokens == 1:
            stays = torch.ones_like(stays)  # a model reads the same inputs as before
        elif number == 0:
            stays = stays.view(n_tokens, -1).any(0).repeat(n_tokens)
        kept.insert(0, stays.nonzero().squeeze(1))
    return kept


def _resized(model: Chain, plan: Plan, layers: list[_Layer]) -> nn.Module:
    """The smaller model, its sizes as it says itself brought up to date."""
    made = smaller(model, plan.values)
    for layer in layers:
        linear = cast(nn.Linear, made.get_submodule(layer.name))
        linear.out_features, linear.in_features = linear.weight.shape
    if isinstance(made, MLP):
        made.cfg = replace(made.cfg, sizes=tuple(len(neurons) for neurons in plan.kept.values()))
    elif isinstance(made, TokenMLP):
        width, *sizes = (len(neurons) for neurons in plan.kept.values())
        made.embed.embedding_dim = width
        made.cfg = replace(made.cfg, d_embed=width, sizes=tuple(sizes))
    return made
