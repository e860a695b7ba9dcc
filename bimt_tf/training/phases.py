"""The phases of a run in their order. Adding one is writing its file and naming it here."""

from __future__ import annotations

from bimt_tf.config.settings import Config
from bimt_tf.training.finish import Finish
from bimt_tf.training.magnitude import Magnitude
from bimt_tf.training.phase import Phase
from bimt_tf.training.polish import Polish
from bimt_tf.training.pressed import Pressed
from bimt_tf.training.topk import TopK

__all__ = ["PHASES", "milestones", "phase_after", "phase_at", "spans"]

PHASES: tuple[Phase, ...] = (Pressed(), Magnitude(), TopK(), Finish(), Polish())


def milestones(config: Config) -> frozenset[int]:
    """The steps after which a run must have a checkpoint: its end, and where a phase begins that cannot be resumed."""
    begins = (phase.span(config) for phase in PHASES if not phase.resumable)
    return frozenset({config.training.steps, *(span.start for span in begins if span)})


def spans(config: Config) -> dict[str, range]:
    """The phases that such a run has, by name in their order, and the steps (0-based) of each."""
    return {type(phase).__name__.lower(): span for phase in PHASES if (span := phase.span(config))}


def phase_at(config: Config, step: int) -> str:
    """The name of the phase that takes a step (0-based) of such a run; behind its end, of the last phase."""
    own = spans(config)
    return next((name for name, span in own.items() if step in span), list(own)[-1])


def phase_after(config: Config, steps: int) -> str:
    """The name of the phase whose work stands in the network after so many ``steps``; "start" before the first."""
    return next((name for name, span in spans(config).items() if steps - 1 in span), "start")
