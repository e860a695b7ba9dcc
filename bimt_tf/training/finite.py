"""A run whose numbers are no longer finite, or beyond all sense, stops; it never ends as a success."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["NonFiniteLoss", "require_finite", "require_finite_weights", "require_not_diverged"]


LOST = 1e20  # in float64 a run that has diverged goes on with finite numbers: no loss worth going on with is this large
DIVERGED = 1e6  # times the loss that a run begins with (or 1, if that is less): no result ends there


class NonFiniteLoss(RuntimeError):
    """A loss, the cost or a weight became NaN, infinite or larger than LOST at ``step``; ``what`` says which."""

    def __init__(self, step: int, what: str, value: float) -> None:
        super().__init__(f"{what} is {value} at step {step}")
        self.step = step


def require_finite(step: int, what: str, value: float) -> None:
    """Raise NonFiniteLoss unless ``value`` is a finite number, and below LOST."""
    if not abs(value) < LOST:  # NaN is not
        raise NonFiniteLoss(step, what, value)


def require_not_diverged(step: int, loss: float, first: float) -> None:
    """Raise NonFiniteLoss if the held-out loss that a run ends with is beyond all that the ``first`` one explains."""
    if loss > DIVERGED * max(first, 1.0):
        raise NonFiniteLoss(step, "training has diverged (a smaller lr or lam would do): the held-out loss", loss)


def require_finite_weights(step: int, weights: Tensor) -> None:
    """Raise NonFiniteLoss unless all ``weights`` are finite."""
    finite = torch.isfinite(weights)
    if not finite.all():
        worst = weights[~finite][0]
        raise NonFiniteLoss(step, f"one of {weights.numel()} weights", float(worst))
