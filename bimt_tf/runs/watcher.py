"""What shows a run while it goes on: called by execute.py, drawn by the command line. No torch at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bimt_tf.config.settings import Config

if TYPE_CHECKING:
    from bimt_tf.training.trainer import Record

__all__ = ["SilentWatcher", "Watcher"]


class Watcher(Protocol):
    """Shows a run while it goes on."""

    def start(self, config: Config, step: int, note: str) -> None:
        """Training begins at ``step``."""
        ...

    def record(self, record: Record) -> None:
        """A step was logged."""
        ...

    def tick(self, step: int) -> None:
        """A step was taken."""
        ...

    def stage(self, text: str) -> None:
        """Something other than training goes on."""
        ...

    def note(self, text: str) -> None:
        """Something that one should know of, and that ends nothing."""
        ...

    def eliminating(self, budget: str) -> None:
        """An elimination begins, or goes on."""
        ...

    def round(self, row: Mapping[str, Any]) -> None:
        """A round of it was kept: a line of rounds.jsonl."""
        ...


class SilentWatcher:
    """A watcher that shows nothing."""

    def start(self, config: Config, step: int, note: str) -> None: ...

    def record(self, record: Record) -> None: ...

    def tick(self, step: int) -> None: ...

    def stage(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def eliminating(self, budget: str) -> None: ...

    def round(self, row: Mapping[str, Any]) -> None: ...
