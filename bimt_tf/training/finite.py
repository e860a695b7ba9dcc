"""A run whose numbers are no longer finite stops; it never ends as a success."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["NonFiniteLoss", "require_finite", "require_finite_weights"]


class NonFiniteLoss(RuntimeError):
    """A loss, the cost or the weights became NaN or infinite at ``step``; ``what`` says which."""

    def __init__(self, step: int, what: str, value: float) -> None:
        super().__init__(f"{what} is {value} at step {step}")
        self.step = step


def require_finite(step: int, what: str, value: float) -> None:
    """Raise NonFiniteLoss unless ``value`` is a finite number."""
    if not math.isfinite(value):
        raise NonFiniteLoss(step, what, value)


def require_finite_weights(step: int, weights: Tensor) -> None:
    """Raise NonFiniteLoss unless all ``weights`` are finite."""
    finite = torch.isfinite(weights)
    if not finite.all():
        worst = weights[~finite][0]
        raise NonFiniteLoss(step, f"one of {weights.numel()} weights", float(worst))
