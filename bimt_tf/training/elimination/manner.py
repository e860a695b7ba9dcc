"""In which manner an elimination goes, beside how far."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from bimt_tf.config.manners import require_compatible
from bimt_tf.errors import InputError

__all__ = ["AS_IT_COMES", "Manner", "WholeNeurons"]

WholeNeurons: TypeAlias = Literal["no", "first", "last"]


class Manner(NamedTuple):
    """What :func:`bimt_tf.eliminate` takes by these names."""

    whole_neurons: WholeNeurons = "no"
    stay_near: bool = False
    short_wires: bool = False
    press: bool = False

    def require_possible(self, exact: bool, *, weights: bool, neurons: bool) -> None:
        """Raise InputError for what cannot be.

        Args:
            exact: whether the model is in plain torch.
            weights, neurons: whether the budget is a number of them.
        """
        require_compatible(**self._asdict(), weights=weights, neurons=neurons)
        named = [name for name, value in self._asdict().items() if value not in ("no", False)]
        if named and not exact:
            raise InputError(f"{named[0]} needs a model in plain torch: leave it out here")


AS_IT_COMES = Manner()
"""Single weights, cheapest first."""
