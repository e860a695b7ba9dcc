"""Multilayer perceptrons: MLP, and any nn.Sequential of nn.Linear layers and elementwise activations.

Populations ``input``, ``hidden0``, ``hidden1``, ..., ``output``; nn.Linear weights are [out, in].
"""

from __future__ import annotations

from torch import nn

from bimt_tf.wiring import Wiring

__all__ = ["matches", "wiring"]

_ELEMENTWISE = (
    nn.ReLU, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Mish, nn.Identity, nn.Dropout,
    nn.Flatten,
)  # fmt: skip


def _linears(model: nn.Module) -> list[str]:
    """Names of the linear layers if the model is a plain chain of them, else an empty list."""
    if isinstance(model, nn.Sequential):
        children = list(model.named_children())
        if all(isinstance(child, (nn.Linear, *_ELEMENTWISE)) for _, child in children):
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


def wiring(model: nn.Module) -> Wiring:
    """The wiring of a chain of linear layers, with or without biases."""
    names = _linears(model)
    populations = ["input", *(f"hidden{i}" for i in range(len(names) - 1)), "output"]
    table: dict[str, str] = {}
    layers: dict[str, str] = {}
    for name, before, after in zip(names, populations[:-1], populations[1:], strict=True):
        table |= {f"{name}.weight": f"{after} {before}", f"{name}.bias": after}
        layers |= {f"{name}.weight": name, f"{name}.bias": name}
    shapes = dict(model.named_parameters())
    return Wiring.from_table(
        {name: axes for name, axes in table.items() if name in shapes},
        model,
        layers={name: layer for name, layer in layers.items() if name in shapes},
        rows=[[population] for population in populations],
        unbakeable=("input", "output"),
    )
