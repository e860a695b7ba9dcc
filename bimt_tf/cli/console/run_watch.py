"""A run's progress: a bar on a terminal, lines elsewhere.

Both say how far it is and how long it will take, which phase of training goes on, losses and active weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, TaskID

from bimt_tf.cli.console.columns import GivingWay, Whole, bar_column, spelled_time

if TYPE_CHECKING:
    from bimt_tf.config.settings import Config
    from bimt_tf.training.trainer import Record

__all__ = ["Bar", "Lines", "watcher"]

REFRESH = 0.2  # seconds between updates of the bar
LINES = 20  # lines a run prints where there is no terminal


class Bar:
    """A progress bar with the percentage, the time left and, where there is room, steps and the record's figures."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            Whole(lambda task: f"{task.percentage:3.0f}%"),
            bar_column(24),
            Whole(lambda task: spelled_time(task.time_remaining)),
            GivingWay(lambda task: [*task.fields["figures"], f"{task.completed:,.0f}/{task.total or 0:,.0f}"]),
            console=console,
            refresh_per_second=4,
        )
        self.bar: TaskID | None = None
        self.shown = 0.0
        self.config: Config | None = None
        self.figures: list[str] = []

    def start(self, config: Config, step: int, note: str) -> None:
        """Open the bar."""
        self.config = config
        self.console.print(f"{config.task}, {config.method}, seed {config.seed}: {note}", highlight=False)
        self.bar = self.progress.add_task(
            "training", total=config.training.steps, completed=step, figures=[_phase(config, step)]
        )
        self.progress.start()

    def record(self, record: Record) -> None:
        """Show the record's figures."""
        if self.bar is not None and self.config is not None:
            self.figures = _figures(record)
            self.progress.update(self.bar, figures=[_phase(self.config, record.step - 1), *self.figures])

    def tick(self, step: int) -> None:
        """Advance the bar, a few times a second."""
        now = time.monotonic()
        if self.bar is not None and now - self.shown > REFRESH:
            self.shown = now
            figures = [*([] if self.config is None else [_phase(self.config, step)]), *self.figures]
            self.progress.update(self.bar, completed=step, figures=figures)

    def stage(self, text: str) -> None:
        """Close the bar and say what goes on."""
        if self.bar is not None:
            self.progress.update(self.bar, completed=self.progress.tasks[0].total)
            self.progress.stop()
        self.console.print(f"{text} ...", highlight=False)

    def note(self, text: str) -> None:
        """Say it above the bar."""
        self.console.print(text, markup=False, highlight=False)

    def eliminating(self, budget: str) -> None:
        """Open a bar without an end: how many rounds it takes is not known."""
        if self.bar is not None:
            self.progress.update(self.bar, completed=self.progress.tasks[0].total)
            self.progress.stop()
        self.console.print(f"eliminating, {budget}", highlight=False)
        self.progress = Progress(
            bar_column(24),
            Whole(lambda task: f"{task.elapsed or 0:.0f} s"),
            GivingWay(lambda task: task.fields["figures"]),
            console=self.console,
            refresh_per_second=4,
        )
        self.bar = self.progress.add_task("eliminating", total=None, figures=[])
        self.progress.start()

    def round(self, row: Mapping[str, Any]) -> None:
        """Show what is left."""
        if self.bar is not None:
            self.progress.update(self.bar, figures=_left(row))


class Lines:
    """The same as lines of text, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.total, self.first, self.next = 0, 0, 0
        self.begun = 0.0
        self.config: Config | None = None

    def start(self, config: Config, step: int, note: str) -> None:
        """Say what begins."""
        self.config = config
        self.total, self.first, self.next = config.training.steps, step, step
        self.begun = time.monotonic()
        self._say(f"{config.task}, {config.method}, seed {config.seed}: {note}")

    def record(self, record: Record) -> None:
        """A line every twentieth of the run: percentage, time left, step and figures."""
        if record.step < min(self.next, self.total):
            return
        self.next = record.step + max(self.total // LINES, 1)
        made, left = record.step - self.first, self.total - record.step
        seconds = (time.monotonic() - self.begun) / made * left if made > 0 else None
        percentage = 100 * record.step / self.total
        phase = [] if self.config is None else [_phase(self.config, record.step - 1)]
        so_far = (f"{percentage:3.0f}%", spelled_time(seconds), f"step {record.step}/{self.total}")
        self._say("  ".join((*so_far, *phase, *_figures(record))))

    def tick(self, step: int) -> None:
        """Nothing a step."""

    def stage(self, text: str) -> None:
        """Say what goes on."""
        self._say(f"{text} ...")

    def note(self, text: str) -> None:
        """Say it on a line of its own."""
        self._say(text)

    def eliminating(self, budget: str) -> None:
        """Say what begins."""
        self._say(f"eliminating, {budget}")

    def round(self, row: Mapping[str, Any]) -> None:
        """A line a round."""
        self._say("  ".join((f"round {row['round']}", *_left(row))))

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)


def _phase(config: Config, step: int) -> str:
    """The phase that takes a step; the trainer's modules are loaded once a run has begun."""
    from bimt_tf.training.phases import phase_at

    return phase_at(config, step)


def _figures(record: Record) -> list[str]:
    """The record's figures, those first that are kept longest on a narrow terminal."""
    return [
        f"test {record.test_loss:.2e}",
        f"active {record.active:,}",
        f"loss {record.loss:.2e}",
        f"cost {record.cost:.3g}",
        f"λ {record.lam:g}",
    ]


def _left(row: Mapping[str, Any]) -> list[str]:
    """What a round of an elimination left."""
    q = row["modularity_shared"]
    return [
        f"{row['weights']:,} weights",
        f"test {row['test_loss']:.2e}",
        f"loss {row['loss']:.2e}",
        *([] if q is None else [f"Q {q:.3f}"]),
        f"{row['seconds']:.0f} s",
    ]


@contextmanager
def watcher() -> Iterator[Bar | Lines]:
    """A bar on a terminal, lines elsewhere; the terminal is left as it was found."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console)
        return
    bar = Bar(console)
    try:
        yield bar
    finally:
        bar.progress.stop()
