"""An nn.Sequential as linear layers, each with the activations behind it, by the names that the page knows them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from bimt_tf.errors import InputError

__all__ = ["LiveLayer", "sequential_layers"]

NAMES: Mapping[type[nn.Module], str] = {nn.ReLU: "relu", nn.SiLU: "silu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
SILENT = (nn.Identity, nn.Dropout)
"""What changes nothing when a network is evaluated."""


class LiveLayer(NamedTuple):
    """A linear layer, and the activations behind it in their order."""

    linear: nn.Linear
    acts: tuple[str, ...]


def sequential_layers(model: nn.Sequential) -> list[LiveLayer]:
    """The layers of a model.

    Raises:
        InputError: for no linear layer, something before the first, or a module that the page does not compute.
    """
    found: list[LiveLayer] = []
    for module in model:
        if type(module) is nn.Linear:
            found.append(LiveLayer(module, ()))
        elif not isinstance(module, SILENT):
            if not found:
                raise InputError(
                    f"a page evaluates nn.Sequential from its first linear layer on, and a {_of(module)} is before it"
                )
            linear, acts = found.pop()
            found.append(LiveLayer(linear, (*acts, _name(module))))
    if not found:
        raise InputError("a page evaluates linear layers, and this nn.Sequential has none")
    return found


def _name(module: nn.Module) -> str:
    if type(module) is nn.GELU:
        return "gelu" if module.approximate == "none" else "gelu_new"
    if type(module) not in NAMES:
        known = ", ".join(sorted(one.__name__ for one in (*NAMES, nn.GELU)))
        raise InputError(f"a page evaluates the activations {known}, and this model has a {_of(module)}")
    return NAMES[type(module)]


def _of(module: nn.Module) -> str:
    return type(module).__name__
