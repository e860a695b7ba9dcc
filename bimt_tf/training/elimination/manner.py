"""In which manner an elimination goes, beside how far."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from bimt_tf.errors import InputError

__all__ = ["AS_IT_COMES", "Manner", "WholeNeurons"]

WholeNeurons: TypeAlias = Literal["no", "first", "last"]


class Manner(NamedTuple):
    """What :func:`bimt_tf.eliminate` takes by these names."""

    whole_neurons: WholeNeurons = "no"
    stay_near: bool = False
    short_wires: bool = False

    def require_possible(self, exact: bool, *, counted: bool) -> None:
        """Raise InputError for what cannot be.

        Args:
            exact: whether the model is in plain torch.
            counted: whether the budget is a number, of weights or neurons.
        """
        whole = {"whole_neurons": self.whole_neurons != "no", "stay_near": self.stay_near}
        named = [name for name, asked in (whole | {"short_wires": self.short_wires}).items() if asked]
        if named and not exact:
            raise InputError(f"{named[0]} needs a model in plain torch, whose curvature is exact: leave it out here")
        if self.short_wires and counted:
            raise InputError("short_wires spends a loss on short wires: give max_loss or loss_factor as the budget")
        if self.short_wires and len(named) > 1:
            raise InputError(f"short_wires lowers no count of neurons and moves weights: give it without {named[0]}")


AS_IT_COMES = Manner()
"""Single weights, cheapest first."""
