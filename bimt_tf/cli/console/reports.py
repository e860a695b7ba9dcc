"""What a command prints at its end: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bimt_tf.analysis.plain import plain
from bimt_tf.cli.console.links import linked, print_path

if TYPE_CHECKING:
    from bimt_tf.analysis.prune import PrunePoint
    from bimt_tf.runs.compare import Comparison
    from bimt_tf.sweeps.results import SweepResult

__all__ = [
    "print_comparison", "print_exhibits", "print_json", "print_line", "print_pruning", "print_report",
    "print_rows", "print_run", "print_summary", "print_sweep", "print_tasks", "sweep_as_dict",
    "wide_console",
]  # fmt: skip

UNBROKEN = 240
FOLDED = ("path", "task", "state", "when")  # columns of a list of runs that may take several lines
NUMBERS = ("seed", "steps", "loss", "weights", "q")  # columns of a list of runs


def print_json(value: Any) -> None:
    """Dicts, lists, NamedTuples and numbers as JSON; NaN and infinity, which JSON lacks, as null."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_line(text: str) -> None:
    """One line, however long."""
    sys.stdout.write(text + "\n")


def print_tasks(found: Sequence[Mapping[str, Any]]) -> None:
    """Names, presets and summaries of tasks."""
    table = Table(box=None)
    for column in ("task", "presets", "what is learned"):
        table.add_column(column, no_wrap=column == "task")
    for one in found:
        table.add_row(one["name"], ", ".join(one["presets"]), one["summary"])
    Console(highlight=False, markup=False).print(table)


def print_rows(rows: Sequence[Mapping[str, Any]], none: str) -> None:
    """One line a run; ``none`` where there is no run."""
    if not rows:
        return print_line(none)
    table = Table(box=None)
    for column in rows[0]:
        justify: Literal["left", "right"] = "right" if column in NUMBERS else "left"
        table.add_column(column, overflow="fold", justify=justify, no_wrap=column not in FOLDED)
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    wide_console().print(table)


def wide_console() -> Console:
    """A console as wide as the terminal; in a file or a pipe, lines are not broken at 80 characters."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=UNBROKEN)


def print_run(heads: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
    """What a run is, and what its summary.json says; what is empty or does not apply is left out."""
    table = Table(show_header=False, box=None)
    for name, value in {**heads, **(summary or {})}.items():
        if value not in (None, [], {}):
            table.add_row(name.replace("_", " "), linked(Path(value)) if name == "path" else _shown(value))
    Console(highlight=False, markup=False).print(table)


def print_comparison(found: Comparison) -> None:
    """Runs side by side: the settings in which they differ first, then the numbers."""
    table = Table(box=None)
    table.add_column("")
    for path in found.paths:
        table.add_column(path, overflow="fold")
    table.add_row("state", *found.states)
    for part in (found.settings, found.numbers):
        table.add_section()
        for one in part:
            table.add_row(one.name, *map(_shown, one.values))
    wide_console().print(table)


def _shown(value: Any) -> str:
    """A value in a table's cell."""
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_summary(out: Path, summary: dict[str, Any]) -> None:
    """The numbers of a finished run; the last line says where everything is."""
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
        *_elimination_rows(summary),
    ]
    rows += _probe_rows(summary)
    if summary["severed"]:
        rows.append(("warning", "no path of weights leads from input to output: the cut was too deep"))
    rows += [("note", note) for note in summary["notes"]]
    table = Table(show_header=False, box=None)
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    for what, name in (("for transformers", "huggingface"), ("figures", "figures"), ("page", "report.html")):
        if (place := out / name).exists():
            print_path(f"{what}:", place)
    print_path("results:", out)


def _probe_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The first probe: what all neurons tell and the inputs alone, and how many pairs tie; none of an older run."""
    probe = summary.get("probe")
    if not probe:
        return []
    linear = f"{probe['score']} {probe['linear']:.4f} linear, the inputs alone {probe['inputs_linear']:.4f}"
    rows = [(f"{probe['target']} at {probe['where']}", linear)]
    if (pair := summary["best_pair"]) and (ties := probe["tied_pairs"]):
        tie = "" if ties == 1 else f", one of {ties} pairs that tie"
        told = f"neurons {pair[0]} and {pair[1]}: {summary['best_pair_r2']:.4f} nonlinear{tie}"
        rows.append(("best pair", f"{told}; the inputs alone {probe['inputs_nonlinear']:.4f}"))
    return rows


def _elimination_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an elimination made of the trained network; nothing where there was none."""
    before, done = summary.get("trained"), summary.get("elimination")
    if not before or not done:
        return []
    q = "" if before["modularity_shared"] is None else f", modularity {before['modularity_shared']:.3f}"
    told = f"test loss {before['test_loss']:.3g}, {before['active_weights']:,} weights{q}"
    rows = [("before elimination", told), ("elimination took", f"{done['seconds']:.0f} s, {done['rounds']} rounds")]
    if done.get("end_weights", summary["active_weights"]) < summary["active_weights"]:
        loss = done.get("end_test_loss")
        at_loss = "" if loss is None else f" and test loss {loss:.3g}"
        told = f"{done['end_weights']:,} weights{at_loss} (--at end); the numbers above are of the most modular"
        rows.append(("smallest network", f"{told} of the last networks on the way"))
    return rows


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
    line = Text("table: ").append_text(linked(result.table))
    plot = linked(result.plot) if result.plot else Text("no run ended with a finite loss")
    console.print(line.append(", plot: " if result.plot else ", no plot: ").append_text(plot))


def sweep_as_dict(result: SweepResult) -> dict[str, Any]:
    """What a sweep found, for JSON."""
    return {
        "table": result.table,
        "plot": result.plot,
        "found": {str(cell): found.text for cell, found in result.found.items()},
        "runs": [{"path": one.job.path, "error": one.error, "summary": one.summary} for one in result.outcomes],
    }


def print_report(line: str, files: Sequence[Path], failed: Sequence[tuple[str, str]]) -> None:
    """What a reproduction says, the runs that failed, and last where its files are."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for run, error in failed:
        console.print(f"failed: {run}: {error}")
    console.print(line)
    for path in files:
        print_path("wrote", path)


def print_exhibits(ends: Sequence[tuple[str, str | None, str | None]], failed: Mapping[str, str]) -> None:
    """Every exhibit with what it says or why it is not there, the runs that failed, and last how many were made.

    Args:
        ends: (name, its line, the reason why there is none).
        failed: run -> its error.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for run, error in failed.items():
        console.print(f"failed: {run}: {error}")
    for name, line, reason in ends:
        console.print(f"{name}: {line}" if reason is None else f"{name} NOT MADE: {reason}")
    missing = [name for name, _, reason in ends if reason is not None]
    runs = f"; {len(failed)} runs failed" if failed else ""
    without = f"; not made: {', '.join(missing)}" if missing else ""
    console.print(f"{len(ends) - len(missing)} of {len(ends)} tables and figures made{without}{runs}")


def print_pruning(points: Sequence[PrunePoint]) -> None:
    """Weights left and test loss by threshold."""
    table = Table(title="cutting weights with |w| up to a threshold")
    for column in ("threshold", "weights left", "test loss", ""):
        table.add_column(column, justify="right")
    for point in points:
        note = "no path from input to output" if point.severed else ""
        table.add_row(f"{point.threshold:.3g}", f"{point.active_weights:,}", f"{point.loss:.3g}", note)
    Console(highlight=False).print(table)
