"""The functions that stand in formulas: activations and attention's softmax, as numbers, as SymPy and as source."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sympy
from scipy.special import erf
from torch import nn

from bimt_tf.analysis.formula_polynomial import Array
from bimt_tf.errors import InputError

__all__ = ["ACTIVATIONS", "IDENTITY", "SOFTMAX", "Activation", "activation_of", "softmax", "symbolic"]

IDENTITY, SOFTMAX = "identity", "softmax"


class Activation(NamedTuple):
    """``value``: of numbers. ``explicit``: as SymPy's elementary functions. ``source``: its Python function."""

    value: Callable[[Any], Any]
    explicit: Callable[[Any], Any]
    source: str


def _silu(z: Any) -> Any:
    return z / (1 + np.exp(-z))


def _gelu_new(z: Any) -> Any:
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


def _gelu(z: Any) -> Any:
    return 0.5 * z * (1 + erf(z / np.sqrt(2)))


def _relu(z: Any) -> Any:
    return np.maximum(z, 0)


def _root(z: Any) -> Any:
    return np.sqrt(np.maximum(z, 0))  # a fitted square may fall below 0 by a rounding


ACTIVATIONS: dict[str, Activation] = {
    "silu": Activation(_silu, lambda z: z / (1 + sympy.exp(-z)), "z / (1 + np.exp(-z))"),
    "gelu_new": Activation(
        _gelu_new,
        lambda z: z / 2 * (1 + sympy.tanh(sympy.sqrt(2 / sympy.pi) * (z + sympy.Float(0.044715) * z**3))),
        "0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))",
    ),
    "gelu": Activation(
        _gelu,
        lambda z: z / 2 * (1 + sympy.erf(z / sympy.sqrt(2))),
        "0.5 * z * (1 + np.vectorize(math.erf)(z / np.sqrt(2)))",
    ),
    "relu": Activation(_relu, lambda z: sympy.Max(z, 0), "np.maximum(z, 0)"),
    "tanh": Activation(np.tanh, sympy.tanh, "np.tanh(z)"),
    "sin": Activation(np.sin, sympy.sin, "np.sin(z)"),
    "sqrt": Activation(_root, lambda z: sympy.sqrt(sympy.Max(z, 0)), "np.sqrt(np.maximum(z, 0))"),
}
"""By name: those of networks, and behind them those that a recognised formula may have."""


def softmax(scores: list[Array | float]) -> Array:
    """Exp of the first score over the sum of exp of all."""
    first, *others = scores
    return np.asarray(1 / (1 + sum((np.exp(other - first) for other in others), np.float64(0))))


@cache
def symbolic(name: str) -> Any:
    """An activation as a SymPy function that ``sympy.lambdify`` can compute; SymPy's own where it has it."""
    if name not in ("silu", "gelu_new", "gelu"):
        return ACTIVATIONS[name].explicit
    from sympy.utilities.lambdify import implemented_function

    return implemented_function(name, ACTIVATIONS[name].value)


def activation_of(module: nn.Module) -> str:
    """The name of an activation module's function.

    Raises:
        InputError: for a module that is none of those known here.
    """
    names = {nn.SiLU: "silu", nn.ReLU: "relu", nn.Tanh: "tanh", nn.Identity: IDENTITY, nn.Dropout: IDENTITY}
    if isinstance(module, nn.GELU):
        return "gelu_new" if module.approximate == "tanh" else "gelu"
    if type(module) not in names:
        raise InputError(
            f"formula knows the activations SiLU, GELU, ReLU, Tanh and Identity, found a {type(module).__name__}"
        )
    return names[type(module)]
