"""A run's progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from bimt_tf.config.settings import Config
    from bimt_tf.training.trainer import Record

__all__ = ["Bar", "Lines", "watcher"]

REFRESH = 0.2  # seconds between updates of the bar
LINES = 20  # lines a run prints where there is no terminal


class Bar:
    """A progress bar with loss, cost, active weights, lambda and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=4,
        )
        self.bar: TaskID | None = None
        self.shown = 0.0

    def start(self, config: Config, step: int, note: str) -> None:
        """Open the bar."""
        self.console.print(f"{config.task}, {config.method}, seed {config.seed}: {note}", highlight=False)
        self.bar = self.progress.add_task("training", total=config.training.steps, completed=step, figures="")
        self.progress.start()

    def record(self, record: Record) -> None:
        """Show the record's figures."""
        if self.bar is not None:
            self.progress.update(self.bar, figures=_figures(record))

    def tick(self, step: int) -> None:
        """Advance the bar, a few times a second."""
        now = time.monotonic()
        if self.bar is not None and now - self.shown > REFRESH:
            self.shown = now
            self.progress.update(self.bar, completed=step)

    def stage(self, text: str) -> None:
        """Close the bar and say what goes on."""
        if self.bar is not None:
            self.progress.update(self.bar, completed=self.progress.tasks[0].total)
            self.progress.stop()
        self.console.print(f"{text} ...", highlight=False)


class Lines:
    """The same as lines of text, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.every = 1
        self.total = 0

    def start(self, config: Config, step: int, note: str) -> None:
        """Say what begins."""
        self.total = config.training.steps
        self.every = max(self.total // LINES, 1)
        self.console.print(f"{config.task}, {config.method}, seed {config.seed}: {note}")

    def record(self, record: Record) -> None:
        """A line every twentieth of the run."""
        if record.step % self.every == 0 or record.step == self.total:
            self.console.print(f"step {record.step}/{self.total}  {_figures(record)}")

    def tick(self, step: int) -> None:
        """Nothing a step."""

    def stage(self, text: str) -> None:
        """Say what goes on."""
        self.console.print(f"{text} ...")


def _figures(record: Record) -> str:
    return (
        f"loss {record.loss:.2e}  test {record.test_loss:.2e}  cost {record.cost:.3g}  "
        f"active {record.active:,}  λ {record.lam:g}"
    )


@contextmanager
def watcher() -> Iterator[Bar | Lines]:
    """A bar on a terminal, lines elsewhere; the terminal is left as it was found."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(Console(stderr=True, width=200, highlight=False))
        return
    bar = Bar(console)
    try:
        yield bar
    finally:
        bar.progress.stop()
