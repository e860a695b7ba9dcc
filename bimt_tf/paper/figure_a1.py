"""Figure A1 of the paper: weights left against test loss while small weights are cut, a curve for each method and seed.

The paper's claim is that the curve of BIMT lies left of that of L1: fewer weights for any loss that both reach.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.config.methods import PAPER_METHODS
from bimt_tf.paper.exhibit import PRODUCTS, SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import ROWS, Row, row
from bimt_tf.paper.writing import TextTable, write_csv, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.analysis.prune import PrunePoint

__all__ = ["FIGURE_A1"]

POINTS = ["task", "method", "seed", "threshold", "weights", "loss", "severed"]


class _Left(NamedTuple):
    """Of one row: in how many seeds the curve of bimt lies left of that of l1."""

    row: str
    seeds: str
    by_seed: str


def _make(runs: EndedRuns, docs: Path) -> Made:
    files: list[Path] = []
    points: list[list[str]] = []
    found = []
    for each in runs.plan.rows:
        curves = _curves(runs, each)
        name = "figA1" if len(runs.plan.rows) == 1 else f"figA1-{each.name}"
        files += _draw(docs / name, each, curves)
        points += [
            [each.name, method, str(seed), *map(str, point)]
            for (method, seed), curve in curves.items()
            for point in curve
        ]
        if left := _left(each, curves):
            found.append(left)
    files += write_csv(docs / "figA1", TextTable(POINTS, points))
    if found:
        lines = [[one.row, "bimt's pruning curve left of l1's", one.seeds, one.by_seed] for one in found]
        table = TextTable(["task", "claim", "seeds", "by seed"], lines)
        files += write_page(docs / "figA1-claim", "bimt reproduce figA1: weights left against loss.", table)
    said = [f"{one.row}: bimt's pruning curve left of l1's in {one.seeds} seeds" for one in found]
    return Made(files, "; ".join(said) or "Figure A1")


Curves = dict[tuple[str, int], "list[PrunePoint]"]
"""(method, seed) -> its pruning curve."""


def _curves(runs: EndedRuns, row: Row) -> Curves:
    return {
        (method, seed): runs.open(row.name, method, seed).prune()
        for method in runs.plan.methods
        for seed in runs.seeds(row.name, method)
    }


def _draw(stem: Path, row: Row, curves: Curves) -> list[Path]:
    from bimt_tf.figures.pruning_curves import pruning_curves_figure

    by_method: dict[str, list[list[PrunePoint]]] = {}
    for (method, _), curve in curves.items():
        by_method.setdefault(method, []).append(curve)
    return write_figure(stem, pruning_curves_figure(by_method, title=row.label)) if by_method else []


def _left(row: Row, curves: Curves) -> _Left | None:
    from bimt_tf.paper.claims import pruning_curve_left_of

    pairs = [
        pruning_curve_left_of(curve, curves["l1", seed])
        for (method, seed), curve in curves.items()
        if method == "bimt" and ("l1", seed) in curves
    ]
    if not pairs:
        return None
    count = f"{sum(pair.holds for pair in pairs)} of {len(pairs)}"
    return _Left(row.name, count, "; ".join(pair.numbers for pair in pairs))


FIGURE_A1 = Exhibit("figA1", (*ROWS, PRODUCTS), (row("symbolic-a"),), PAPER_METHODS, SEEDS, _make)
