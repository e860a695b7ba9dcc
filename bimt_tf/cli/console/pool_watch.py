"""The progress of many runs: a bar on a terminal, and a line for every run that ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from bimt_tf.pool.job import Job, Outcome
    from bimt_tf.pool.time_left import Progress as PoolProgress

__all__ = ["PoolBar", "PoolLines", "pool_watcher"]


class PoolLines:
    """A line for every run of a pool that ends."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def start(self, jobs: Sequence[Job], progress: PoolProgress) -> None:
        """Say how much there is to do."""
        found = f", {progress.runs} of them done already" if progress.runs else ""
        self._say(f"{progress.of_runs} runs{found}")

    def tick(self, progress: PoolProgress) -> None:
        """Nothing between the ends of runs."""

    def retry(self, job: Job, error: str) -> None:
        """Say what died."""
        self._say(f"{job.path.name} died and is tried again: {error}")

    def ended(self, outcome: Outcome, seconds: float, progress: PoolProgress) -> None:
        """What came of the run, how far the pool is, and the time left."""
        count = f"{progress.runs + progress.failed}/{progress.of_runs}"
        self._say(f"{count}  {_run_line(outcome, seconds)}  {_left(progress)}")

    def stage(self, text: str) -> None:
        """Something other than training goes on."""
        self._say(f"{text} ...")

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)


class PoolBar(PoolLines):
    """The same with a bar of all steps of all runs below."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}% of the steps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            refresh_per_second=4,
        )
        self.bar: TaskID | None = None

    def start(self, jobs: Sequence[Job], progress: PoolProgress) -> None:
        """Open the bar."""
        super().start(jobs, progress)
        if self.bar is None:  # a search has many pools
            self.bar = self.progress.add_task("", total=None, left="")
        self.tick(progress)
        self.progress.start()

    def tick(self, progress: PoolProgress) -> None:
        """Advance the bar."""
        if self.bar is not None:
            failed = f", {progress.failed} failed" if progress.failed else ""
            self.progress.update(
                self.bar,
                description=f"{progress.runs}/{progress.of_runs} runs{failed}",
                completed=progress.steps,
                total=progress.of_steps,
                left=_left(progress),
            )


def _run_line(outcome: Outcome, seconds: float) -> str:
    config, summary = outcome.job.config, outcome.summary
    name = f"{config.task} {config.method} seed {config.seed} ({outcome.job.path.name})"
    if summary is None:
        return f"{name} FAILED: {outcome.error}"
    figures = [f"loss {summary['test_loss']:.2e}"]
    if "test_accuracy" in summary:
        figures.append(f"accuracy {summary['test_accuracy']:.1%}")
    return f"{name}: {', '.join(figures)}, {summary['active_weights']:,} weights, {seconds:.0f} s"


def _left(progress: PoolProgress) -> str:
    if progress.left is None:
        return "time left not known yet"
    seconds = round(progress.left)
    hours, minutes = divmod(seconds // 60, 60)
    spelled = f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"
    return f"about {spelled} left"


@contextmanager
def pool_watcher() -> Iterator[PoolLines]:
    """A bar on a terminal, lines elsewhere, for many runs; the terminal is left as it was found."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PoolLines(Console(stderr=True, width=200))
        return
    bar = PoolBar(console)
    try:
        yield bar
    finally:
        bar.progress.stop()
