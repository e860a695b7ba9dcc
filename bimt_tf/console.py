"""What the command line shows: a run's progress, its result, a probe's table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from bimt_tf.analysis.ablate import NeuronAblation
    from bimt_tf.analysis.probe import ProbeResult
    from bimt_tf.analysis.prune import PrunePoint
    from bimt_tf.experiments.pool import Job, Outcome
    from bimt_tf.experiments.sweep import SweepResult
    from bimt_tf.experiments.timing import Progress as PoolProgress
    from bimt_tf.train.config import Config
    from bimt_tf.train.trainer import Record

__all__ = [
    "Bar", "Lines", "PoolBar", "PoolLines", "pool_watcher", "print_ablation", "print_probe", "print_pruning",
    "print_report", "print_summary", "print_sweep", "watcher",
]  # fmt: skip

REFRESH = 0.2  # seconds between updates of the bar
LINES = 20  # lines a run prints where there is no terminal
SHOWN_ROWS = 8  # rows of a probe's table


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


def print_summary(out: Path, summary: dict[str, Any]) -> None:
    """The figures of a finished run; the last line says where everything is."""
    console = Console(highlight=False)
    rows = [("test loss", f"{summary['test_loss']:.3g}")]
    if "test_accuracy" in summary:
        rows.append(("accuracy", f"{summary['test_accuracy']:.2%} test, {summary['train_accuracy']:.2%} training"))
    for unit in ("character", "byte", "token"):
        if (bits := summary.get(f"test_bits_per_{unit}")) is not None:
            rows.append((f"bits per {unit}", f"{bits:.3f} held-out"))
    rows += [
        ("active weights", f"{summary['active_weights']:,} of {summary['total_weights']:,}"),
        *_modularity_row(summary),
        ("mean wiring length", f"{summary['wiring_length']:.3f}"),
        ("training took", f"{summary['seconds']:.0f} s"),
    ]
    if pair := summary["best_pair"]:
        rows.append(("best pair", f"neurons {pair[0]} and {pair[1]}: R2 {summary['best_pair_r2']:.4f}"))
    if summary["severed"]:
        rows.append(("warning", "no path of weights leads from input to output: the cut was too deep"))
    rows += [("note", note) for note in summary["notes"]]
    table = Table(show_header=False, box=None)
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    if (plain := out / "huggingface").is_dir():
        console.print(f"for transformers: {plain}", soft_wrap=True)
    console.print(f"figures: {out / 'figures'}", soft_wrap=True)
    console.print(f"results: {out}", soft_wrap=True)


def _modularity_row(summary: dict[str, Any]) -> list[tuple[str, str]]:
    shared, unrolled = summary["modularity_shared"], summary["modularity_unrolled"]
    return [] if shared is None else [("modularity", f"{shared:.3f} shared, {unrolled:.3f} unrolled")]


def print_sweep(result: SweepResult) -> None:
    """What a sweep found and what failed; the last line says where the table and the plot are."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for cell, found in result.found.items():
        console.print(f"{cell}: {found.text}")
    failed = [outcome for outcome in result.outcomes if outcome.summary is None]
    for outcome in failed:
        console.print(f"failed: {outcome.job.path}: {outcome.error}")
    console.print(f"{len(result.outcomes) - len(failed)} of {len(result.outcomes)} runs ended")
    plot = f", plot: {result.plot}" if result.plot else ", no plot: no run ended with a finite loss"
    console.print(f"table: {result.table}{plot}")


def print_report(line: str, files: Sequence[Path], failed: Sequence[tuple[str, str]]) -> None:
    """What a reproduction says, the runs that failed, and last where its files are."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for run, error in failed:
        console.print(f"failed: {run}: {error}")
    console.print(line)
    for path in files:
        console.print(f"wrote {path}")


def print_probe(result: ProbeResult, target: str) -> None:
    """The best neurons and pairs of one probe, its population and its control, held-out R2 each."""
    console = Console(highlight=False)
    table = Table(title=f"{target} in {result.hook}, token {result.position} (held-out R2)")
    for column in ("neurons", "linear", "nonlinear"):
        table.add_column(column, justify="left" if column == "neurons" else "right")
    for pair in result.pairs[:SHOWN_ROWS]:
        table.add_row(f"{pair.first} and {pair.second}", f"{pair.linear:.4f}", f"{pair.nonlinear:.4f}")
    table.add_section()
    for one in sorted(result.neurons, key=lambda n: -n.nonlinear)[:SHOWN_ROWS]:
        table.add_row(str(one.neuron), f"{one.linear:.4f}", f"{one.nonlinear:.4f}")
    table.add_section()
    whole = result.population
    table.add_row(f"all {len(result.active)} active", f"{whole.linear:.4f}", f"{whole.nonlinear:.4f}")
    console.print(table)


def print_ablation(found: Sequence[NeuronAblation], hook: str, together: Sequence[int]) -> None:
    """Test loss without and with neurons set to their mean, greatest rise first."""
    table = Table(title=f"test loss with neurons of {hook} at their mean")
    for column in ("neurons", "before", "after", "rise"):
        table.add_column(column, justify="right")
    for one in found:
        name = ", ".join(map(str, together)) if together else str(one.neuron)
        table.add_row(name, f"{one.before:.3g}", f"{one.after:.3g}", f"{one.change:.3g}")
    Console(highlight=False).print(table)


def print_pruning(points: Sequence[PrunePoint]) -> None:
    """Weights left and test loss by threshold."""
    table = Table(title="cutting weights with |w| up to a threshold")
    for column in ("threshold", "weights left", "test loss", ""):
        table.add_column(column, justify="right")
    for point in points:
        note = "no path from input to output" if point.severed else ""
        table.add_row(f"{point.threshold:.3g}", f"{point.active_weights:,}", f"{point.loss:.3g}", note)
    Console(highlight=False).print(table)
