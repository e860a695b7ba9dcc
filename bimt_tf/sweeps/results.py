"""What a sweep leaves when its runs have ended: table.csv, lam_for.csv and the plot. No torch at import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bimt_tf.config.values import spelled
from bimt_tf.pool.job import Outcome
from bimt_tf.sweeps.axes import Sweep, spelled_schedule
from bimt_tf.sweeps.lambda_search import Found
from bimt_tf.sweeps.result_files import write_figure, write_table

__all__ = ["SweepResult", "write_results"]

HEADS = ("task", "preset", "method", "seed", "steps")  # of summary.json, which the table has from the config
PARTS = ("trained", "elimination")
"""Parts of the summary of an eliminated run: its network as it was trained, and its budget, rounds and seconds."""


class SweepResult(NamedTuple):
    """What a sweep left: its outcomes, what its searches found by cell, and the files."""

    outcomes: list[Outcome]
    found: dict[str, Found]
    table: Path
    plot: Path | None


def write_results(sweep: Sweep, out: Path, outcomes: Sequence[Outcome], found: dict[str, Found]) -> SweepResult:
    """Write the table and the plot of what the runs gave, and what the searches found, into ``out``.

    Raises:
        InputError: if a file cannot be written; the runs stay, and the same sweep writes it again.
    """
    unique = list({outcome.job.path: outcome for outcome in outcomes}.values())
    table = write_table(out / "table.csv", [_row(sweep, outcome) for outcome in unique])[0]
    if found:
        write_table(out / "lam_for.csv", [{"cell": name, **one._asdict()} for name, one in found.items()])
    return SweepResult(unique, found, table, _plot(sweep, out, unique))


def _row(sweep: Sweep, outcome: Outcome) -> dict[str, Any]:
    """A run's line: what it is, then every single value of its summary.json, then its error."""
    config = outcome.job.config
    row: dict[str, Any] = {"run": outcome.job.path.name, "task": config.task, "preset": config.preset}
    row |= {"method": config.method, "seed": config.seed, "steps": config.training.steps}
    for axis in sweep.axes:
        value = getattr(getattr(config, axis.section), axis.field)
        row[axis.field] = (
            spelled_schedule(value) if axis.field == "lam" else value if _single(value) else spelled(value)
        )
    if sweep.target is not None:
        row["lam"] = spelled_schedule(config.training.lam)
    summary = outcome.summary or {}
    row |= {name: value for name, value in summary.items() if name not in HEADS and _single(value)}
    for part in PARTS:
        row |= {f"{part}_{name}": value for name, value in summary.get(part, {}).items() if _single(value)}
    return {**row, "error": outcome.error}


def _plot(sweep: Sweep, out: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """Draw pareto.png and .pdf; None if no run ended with a finite loss."""
    from bimt_tf.figures.pareto import ParetoPoint, drawable, pareto_figure

    points = [
        ParetoPoint(o.job.config.method, s["active_weights"], s["test_loss"], s["modularity_shared"])
        for o in outcomes
        if (s := o.summary) is not None and s["modularity_shared"] is not None  # too large for a graph
    ]
    if not any(drawable(point) for point in points):
        return None
    return write_figure(out / "pareto", pareto_figure(points, title=f"{sweep.task}: {len(points)} runs"))[0]


def _single(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))
