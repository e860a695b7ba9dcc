"""A progress bar for training from Python: on a terminal or in a notebook, and nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from bimt_tf.config.settings import Config
from bimt_tf.training.phases import phase_at
from bimt_tf.training.trainer import Record

__all__ = ["ProgressBar"]

REFRESH = 0.2  # seconds


class ProgressBar:
    """A watcher (execute.py) for a ``with`` block, at the end of which the bar is closed."""

    def __init__(self, shown: bool) -> None:
        console = Console(stderr=True)
        self._bar = Progress(console=console, disable=not (shown and (console.is_terminal or console.is_jupyter)))
        self._task: TaskID | None = None
        self._last = 0.0
        self._config: Config | None = None

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._bar.tasks:
            if task.total is None:  # how long it would take was not known; now it has ended
                self._bar.update(task.id, total=1, completed=1)
        self._bar.stop()

    def start(self, config: Config, step: int, note: str) -> None:
        """Begin at a step."""
        self._config = config
        self._task = self._bar.add_task(phase_at(config, step), total=config.training.steps, completed=step)

    def record(self, record: Record) -> None:
        """Show the phase, the losses and the weights."""
        if self._task is not None and self._config is not None:
            phase = phase_at(self._config, record.step - 1)
            said = f"{phase}: loss {record.loss:.2e}, held out {record.test_loss:.2e}, {record.active:,} weights"
            self._bar.update(self._task, completed=record.step, description=said)

    def tick(self, step: int) -> None:
        """Advance, a few times a second."""
        now = time.monotonic()
        if self._task is not None and now - self._last > REFRESH:
            self._last = now
            self._bar.update(self._task, completed=step)

    def stage(self, text: str) -> None:
        """Say what goes on behind the bar that has ended, if there was one."""
        if self._task is not None:
            self._bar.update(self._task, completed=self._bar.tasks[-1].total)
            self._task = self._bar.add_task(text, total=None)

    def note(self, text: str) -> None:
        """Say it above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)

    def eliminating(self, budget: str) -> None:
        """Go on without an end: how many rounds it takes is not known."""
        if self._task is not None:
            self._bar.update(self._task, completed=self._bar.tasks[-1].total)
        self._task = self._bar.add_task(f"eliminating, {budget}", total=None)

    def round(self, row: Mapping[str, Any]) -> None:
        """Show what is left."""
        if self._task is not None:
            self._bar.update(self._task, description=f"eliminating: {row['weights']:,} weights, loss {row['loss']:.2e}")
