"""The progress of many runs: a line for every run that ends, and a bar of all steps below where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID

from bimt_tf.cli.console.columns import GivingWay, Whole, bar_column, spelled_time

if TYPE_CHECKING:
    from bimt_tf.pool.job import Job, Outcome
    from bimt_tf.pool.time_left import Progress as PoolProgress

__all__ = ["PoolBar", "PoolLines", "pool_watcher"]

LINES = 20  # lines between the ends of runs that a whole pool prints at most where there is no terminal


class PoolLines:
    """A line for every run of a pool that ends, and between those for every twentieth of all steps."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.said = 0.0

    def start(self, jobs: Sequence[Job], progress: PoolProgress) -> None:
        """Say how much there is to do."""
        found = f", {progress.runs} of them done already" if progress.runs else ""
        self.said = _share(progress)
        self._say(f"{progress.of_runs} runs{found}")

    def tick(self, progress: PoolProgress) -> None:
        """How far the pool is, a twentieth after it was said last."""
        if progress.left != 0 and _share(progress) >= self.said + 1 / LINES:
            self.said = _share(progress)
            self._say(f"{_how_far(progress)}  {', '.join(_counts(progress))}")

    def retry(self, job: Job, error: str) -> None:
        """Say what died."""
        self._say(f"{job.path.name} died and is tried again: {error}")

    def ended(self, outcome: Outcome, seconds: float, progress: PoolProgress) -> None:
        """What came of the run, how far the pool is, and the time left."""
        count = f"{progress.runs + progress.failed}/{progress.of_runs}"
        self.said = _share(progress)
        self._say(f"{count}  {_how_far(progress)}  {_run_line(outcome, seconds)}")

    def stage(self, text: str) -> None:
        """Something other than training goes on."""
        self._say(f"{text} ...")

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)


class PoolBar(PoolLines):
    """A line for every run that ends, above a bar of all steps of all runs."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(
            Whole(lambda task: f"{task.percentage:3.0f}%"),
            bar_column(30),
            Whole(lambda task: task.fields["left"]),
            GivingWay(lambda task: task.fields["counts"]),
            console=console,
            refresh_per_second=4,
        )
        self.bar: TaskID | None = None

    def start(self, jobs: Sequence[Job], progress: PoolProgress) -> None:
        """Open the bar."""
        super().start(jobs, progress)
        if self.bar is None:  # a search has many pools
            self.bar = self.progress.add_task("", total=None, left="", counts=[])
        self.tick(progress)
        self.progress.start()

    def tick(self, progress: PoolProgress) -> None:
        """Advance the bar."""
        if self.bar is not None:
            self.progress.update(
                self.bar,
                counts=_counts(progress),
                completed=progress.steps,
                total=progress.of_steps,
                left=spelled_time(progress.left),
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


def _counts(progress: PoolProgress) -> list[str]:
    """Parts of a line: runs done, runs failed if there are any."""
    failed = [f"{progress.failed} failed"] if progress.failed else []
    return [f"{progress.runs}/{progress.of_runs} runs", *failed]


def _share(progress: PoolProgress) -> float:
    return progress.steps / progress.of_steps if progress.of_steps else 1.0


def _how_far(progress: PoolProgress) -> str:
    return f"{100 * _share(progress):3.0f}% of the steps  {spelled_time(progress.left)}"


@contextmanager
def pool_watcher() -> Iterator[PoolLines]:
    """A bar on a terminal, lines elsewhere, for many runs; the terminal is left as it was found."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PoolLines(console)
        return
    bar = PoolBar(console)
    try:
        yield bar
    finally:
        bar.progress.stop()
