"""What a phase of a run is. The phases, in their order, stand in phases.py; each is a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bimt_tf.config.settings import Config
from bimt_tf.training.state import State

__all__ = ["After", "Phase"]

After = Callable[[float], bool]
"""Called with the training loss of a step once it is taken: counts it, logs it, and says whether to stop."""


class Phase(Protocol):
    """A part of a run with a way of its own to take a step.

    A phase holds no state: what it changes is the run's :class:`State`, so that a checkpoint is enough to go on inside
    one. A phase that cannot go on from a checkpoint says so by ``resumable``: none is taken inside it, and stopped it
    leaves the state as it was where it began.
    """

    @property
    def resumable(self) -> bool:
        """Whether a run can go on from a checkpoint in the middle of this phase."""
        ...

    def span(self, config: Config) -> range:
        """The steps (0-based) that it takes of such a run; empty if there is no such phase in it."""
        ...

    def enter(self, state: State) -> None:
        """What is done before its first step."""
        ...

    def run(self, state: State, after: After) -> bool:
        """Take steps from ``state.step`` to the end of the span, ``after`` called behind each; False if it said stop.

        A phase may end early; the steps that are left are then passed over.
        """
        ...
