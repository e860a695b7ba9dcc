"""How far an elimination may go: up to a loss, or down to a number of weights or neurons."""

from __future__ import annotations

import math
from typing import NamedTuple

from bimt_tf.errors import InputError, require_positive

__all__ = ["LOSS_FACTOR", "Budget", "budget_of"]

LOSS_FACTOR = 1.05
"""The budget where none is given."""

VALIDATION_RISE = 1.1
"""A round is taken back if its validation loss is above the budget and above so many times what it was at first."""


class Budget(NamedTuple):
    """``loss``: the largest that a round may end with; ``weights``, ``neurons``: where to end; ``validation_loss`` as
    ``loss``.
    """

    loss: float
    weights: int
    validation_loss: float
    neurons: int = 0

    def allows(self, loss: float, validation_loss: float | None) -> bool:
        """Whether a round with these losses may be kept; one that is not finite never is."""
        if not math.isfinite(loss):
            return False
        return loss <= self.loss and (validation_loss is None or validation_loss <= self.validation_loss)


def budget_of(
    max_loss: float | None,
    loss_factor: float | None,
    weights: int | None,
    neurons: int | None,
    loss: float,
    validation_loss: float | None,
) -> Budget:
    """The budget from what the user gave, and the losses of the network as it was given.

    Raises:
        InputError: if more than one is given, or for a value that cannot be.
    """
    given = {"max_loss": max_loss, "loss_factor": loss_factor, "weights": weights, "neurons": neurons}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"give one of {', '.join(given)} to say how far to go, found {' and '.join(named)}")
    for name, count in (("weights", weights), ("neurons", neurons)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise InputError(f"{name} must be a whole number of at least 1, found {count!r}")
    if weights is not None or neurons is not None:
        return Budget(math.inf, weights or 0, math.inf, neurons or 0)
    if max_loss is not None:
        require_positive("max_loss", max_loss)
        most = max_loss
    else:
        factor = LOSS_FACTOR if loss_factor is None else loss_factor
        require_positive("loss_factor", factor)
        most = factor * loss
    return Budget(most, 0, math.inf if validation_loss is None else max(most, VALIDATION_RISE * validation_loss))
