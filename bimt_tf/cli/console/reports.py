"""What a command prints at its end: a run's figures, a probe's table, a sweep's and a reproduction's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bimt_tf.analysis.ablate import NeuronAblation
    from bimt_tf.analysis.probe import ProbeResult
    from bimt_tf.analysis.prune import PrunePoint
    from bimt_tf.sweeps.results import SweepResult

__all__ = ["print_ablation", "print_probe", "print_pruning", "print_report", "print_summary", "print_sweep"]

SHOWN_ROWS = 8  # rows of a probe's table


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
    table.add_row(f"all {len(result.varying)} that vary", f"{whole.linear:.4f}", f"{whole.nonlinear:.4f}")
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
