"""The phases of a run in their order. Adding one is writing its file and naming it here."""

from __future__ import annotations

from bimt_tf.config.settings import Config
from bimt_tf.training.finish import Finish
from bimt_tf.training.magnitude import Magnitude
from bimt_tf.training.phase import Phase
from bimt_tf.training.polish import Polish
from bimt_tf.training.pressed import Pressed
from bimt_tf.training.topk import TopK

__all__ = ["PHASES", "milestones", "phase_at"]

PHASES: tuple[Phase, ...] = (Pressed(), Magnitude(), TopK(), Finish(), Polish())


def milestones(config: Config) -> frozenset[int]:
    """The steps after which a run must have a checkpoint: its end, and where a phase begins that cannot be resumed."""
    begins = (phase.span(config) for phase in PHASES if not phase.resumable)
    return frozenset({config.training.steps, *(span.start for span in begins if span)})


def phase_at(config: Config, step: int) -> str:
    """The name of the phase whose work stands in the network after ``step`` steps; "start" before the first."""
    found = (type(phase).__name__.lower() for phase in PHASES if step - 1 in phase.span(config))
    return next(found, "start")
