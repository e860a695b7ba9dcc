"""How far an elimination may go: up to a loss, or down to a number of weights."""

from __future__ import annotations

import math
from typing import NamedTuple

from bimt_tf.errors import InputError, require_positive

__all__ = ["Budget", "budget_of"]

VALIDATION_RISE = 1.1
"""A round is taken back if its validation loss is above the budget and above so many times what it was at first."""


class Budget(NamedTuple):
    """``loss``: the largest that a round may end with; ``weights``: where to end; ``validation_loss`` as ``loss``."""

    loss: float
    weights: int
    validation_loss: float

    def allows(self, loss: float, validation_loss: float | None) -> bool:
        """Whether a round with these losses may be kept; one that is not finite never is."""
        if not math.isfinite(loss):
            return False
        return loss <= self.loss and (validation_loss is None or validation_loss <= self.validation_loss)


def budget_of(
    max_loss: float | None,
    loss_factor: float | None,
    weights: int | None,
    loss: float,
    validation_loss: float | None,
) -> Budget:
    """The budget from what the user gave, one of three, and the losses of the network as it was given.

    Raises:
        InputError: unless exactly one is given, or for a value that cannot be.
    """
    given = {"max_loss": max_loss, "loss_factor": loss_factor, "weights": weights}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        found = " and ".join(named) if named else "none"
        raise InputError(f"give one of max_loss, loss_factor and weights to say how far to go, found {found}")
    if weights is not None:
        if isinstance(weights, bool) or not isinstance(weights, int) or weights < 1:
            raise InputError(f"weights must be a whole number of at least 1, found {weights!r}")
        return Budget(math.inf, weights, math.inf)
    if max_loss is not None:
        require_positive("max_loss", max_loss)
        most = max_loss
    else:
        assert loss_factor is not None
        require_positive("loss_factor", loss_factor)
        most = loss_factor * loss
    return Budget(most, 0, math.inf if validation_loss is None else max(most, VALIDATION_RISE * validation_loss))
