"""Questions after what neurons, heads, modules and weights do: answered by interventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from bimt_tf.analysis.ablate import NeuronAblation

__all__ = ["CausalQuestions"]


class CausalQuestions(OpenedRun):
    """What neurons, heads, modules and weights do: what changes without them."""

    def ablate(self, hook: str | None = None, neurons: Sequence[int] = ()) -> list[NeuronAblation]:
        """How the held-out loss rises when neurons are set to their mean: each in turn, greatest rise first.

        Args:
            hook: where; where the task's own first probe looks unless given.
            neurons: all of these at once instead, as one entry under the first's number.

        Raises:
            InputError: for an unknown hook or neuron.
        """
        from bimt_tf.runs.ask.causes import ablated
        from bimt_tf.runs.ask.usual import usual_probe

        return ablated(self, hook if hook is not None else usual_probe(self).hook, neurons)
