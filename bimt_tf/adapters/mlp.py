"""Multilayer perceptrons: MLP, and any nn.Sequential of nn.Linear layers and elementwise activations.

Populations ``input``, ``hidden0``, ``hidden1``, ..., ``output``; nn.Linear weights are [out, in].
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from bimt_tf.adapters.anatomy import NOTHING, Given
from bimt_tf.core.model_tree import held, paths
from bimt_tf.core.wiring import Wiring

__all__ = ["ELEMENTWISE", "chain", "hidden", "matches", "wiring"]

ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Mish, nn.Hardswish,
    nn.Identity, nn.Dropout,
)  # fmt: skip
"""Layers that treat every number alone and alike."""


def _linears(model: nn.Module) -> list[str]:
    """Names of the linear layers if the model is a plain chain of them, else an empty list."""
    if isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward:
        children = [(name, child) for name, child in model._modules.items() if child is not None]
        if all(isinstance(child, nn.Linear) or type(child) in (*ELEMENTWISE, nn.Flatten) for _, child in children):
            return [name for name, child in children if isinstance(child, nn.Linear)]
        return []
    layers = getattr(model, "layers", None)
    if (
        hasattr(getattr(model, "cfg", None), "sizes")
        and isinstance(layers, nn.ModuleList)
        and all(isinstance(layer, nn.Linear) for layer in layers)
    ):
        names = [f"layers.{i}" for i in range(len(layers))]
        if all(name.rsplit(".", 1)[0] in names for name, _ in model.named_parameters()):
            return names
    return []


def matches(model: nn.Module) -> bool:
    """Whether the model is a chain of linear layers."""
    return bool(_linears(model))


def wiring(model: nn.Module, given: Given = NOTHING) -> Wiring:
    """The wiring of a chain of linear layers, with or without biases; ``given`` adds what the user says."""
    names = _linears(model)
    populations = ["input", *hidden(len(names)), "output"]
    table, layers = chain(names, populations)
    present = {one.name: one.tensor for one in held(paths(model)) if one.kind == "parameter"}
    table = {
        name: axes for name, axes in {**table, **given.axes}.items() if name in present and name not in given.left_out
    }
    return Wiring.from_table(
        table,
        model,
        layers={name: layer for name, layer in layers.items() if name in table},
        rows=[[population] for population in populations],
        unbakeable=("input", "output"),
        left_out=given.left_out,
        order_free=given.order_free,
    )


def hidden(n_layers: int) -> list[str]:
    """The populations between ``n_layers`` linear layers."""
    return [f"hidden{i}" for i in range(n_layers - 1)]


def chain(names: Sequence[str], populations: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(parameter -> axes, parameter -> layer) of linear layers between consecutive populations."""
    table: dict[str, str] = {}
    layers: dict[str, str] = {}
    for name, (before, after) in zip(names, pairwise(populations), strict=True):
        table |= {f"{name}.weight": f"{after} {before}", f"{name}.bias": after}
        layers |= {f"{name}.weight": name, f"{name}.bias": name}
    return table, layers
