"""What happens without neurons."""

from __future__ import annotations

from collections.abc import Sequence

from bimt_tf.analysis.ablate import NeuronAblation, ablate, ablate_each
from bimt_tf.runs.trained import Trained

__all__ = ["ablated"]


def ablated(trained: Trained, hook: str, neurons: Sequence[int] = ()) -> list[NeuronAblation]:
    """How the test loss rises when neurons of a hook are set to their mean: each neuron in turn, greatest rise first.

    Given ``neurons``, all of them at once instead, as one entry under the first's number.

    Raises:
        InputError: for what ``ablate`` refuses.
    """
    inputs = trained.held_out.inputs
    if neurons:
        together = ablate(trained.model, {hook: neurons}, inputs, trained.loss)
        return [NeuronAblation(neurons[0], *together)]
    return sorted(ablate_each(trained.model, hook, inputs, trained.loss), key=lambda one: -one.change)
