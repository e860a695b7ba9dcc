"""A run whose numbers are no longer finite, or beyond all sense, stops; it never ends as a success."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["NonFiniteLoss", "require_finite", "require_finite_weights"]


LOST = 1e30  # in float64 a run that has diverged goes on with finite numbers: no loss worth going on with is this large


class NonFiniteLoss(RuntimeError):
    """A loss, the cost or a weight became NaN, infinite or larger than LOST at ``step``; ``what`` says which."""

    def __init__(self, step: int, what: str, value: float) -> None:
        super().__init__(f"{what} is {value} at step {step}")
        self.step = step


def require_finite(step: int, what: str, value: float) -> None:
    """Raise NonFiniteLoss unless ``value`` is a finite number, and below LOST."""
    if not abs(value) < LOST:  # NaN is not
        raise NonFiniteLoss(step, what, value)


def require_finite_weights(step: int, weights: Tensor) -> None:
    """Raise NonFiniteLoss unless all ``weights`` are finite."""
    finite = torch.isfinite(weights)
    if not finite.all():
        worst = weights[~finite][0]
        raise NonFiniteLoss(step, f"one of {weights.numel()} weights", float(worst))
