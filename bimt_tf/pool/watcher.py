"""What a pool tells while it goes on. No torch at import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bimt_tf.pool.job import Job, Outcome
from bimt_tf.pool.time_left import Progress

__all__ = ["PoolWatcher", "SilentPoolWatcher"]


class PoolWatcher(Protocol):
    """Shows a pool while it goes on."""

    def start(self, jobs: Sequence[Job], progress: Progress) -> None:
        """The pool begins; finished runs that it found are counted."""
        ...

    def tick(self, progress: Progress) -> None:
        """Called about twice a second."""
        ...

    def retry(self, job: Job, error: str) -> None:
        """A run died and will be tried again, from its checkpoint."""
        ...

    def ended(self, outcome: Outcome, seconds: float, progress: Progress) -> None:
        """A run ended, ``seconds`` after it was started here."""
        ...


class SilentPoolWatcher:
    """A watcher that shows nothing."""

    def start(self, jobs: Sequence[Job], progress: Progress) -> None: ...

    def tick(self, progress: Progress) -> None: ...

    def retry(self, job: Job, error: str) -> None: ...

    def ended(self, outcome: Outcome, seconds: float, progress: Progress) -> None: ...
