"""Which neurons hold a quantity of the task."""

from __future__ import annotations

from bimt_tf.analysis.probe import ProbeResult, probe
from bimt_tf.errors import InputError, unknown
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Probe

__all__ = ["probed"]


def probed(trained: Trained, wanted: Probe) -> ProbeResult:
    """What one hook at one position tells about a quantity of the task.

    Raises:
        InputError: for a target that is no quantity of the task, examples without any, or what ``probe`` refuses.
    """
    test = trained.held_out
    if not test.quantities:
        raise InputError(
            f"the examples of {trained.config.task} have no named quantities: "
            "bimt_tf.probe(run.model, hook, values, inputs=...) takes values of your own"
        )
    if wanted.target not in test.quantities:
        raise unknown(f"target of {trained.config.task}", wanted.target, test.quantities)
    return probe(trained.model, wanted.hook, test.quantities[wanted.target], wanted.position, inputs=test.inputs)
