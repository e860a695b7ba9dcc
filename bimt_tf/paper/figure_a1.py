"""Figure A1 of the paper: weights left against test loss while small weights are cut, a curve for each method and seed.

The paper's claim is that the curve of BIMT lies left of that of L1: fewer weights for any loss that both reach. It is
asked at all losses first. Then at those at which the task is learned, since how a network fails when too much of it is
cut says little: that rule, and its factor LEARNED, were chosen after the curves of seeds 0 to 4 had been seen, so it
describes these seeds and is no test. A loss that only one of them reaches decides nothing, so the page says beside it
how low each gets uncut.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.config.methods import PAPER_METHODS
from bimt_tf.paper.exhibit import PRODUCTS, SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import ROWS, Row, row
from bimt_tf.paper.writing import TextTable, heading, write_csv, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.analysis.prune import PrunePoint
    from bimt_tf.paper.claims import Finding
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A1"]

POINTS = ["task", "method", "seed", "threshold", "weights", "loss", "severed"]
LEARNED = 0.1  # of the least loss that any network has without weights
HEADER = ["task", "left of l1's at all losses", "where learned (chosen afterwards)", "by seed, where learned",
          "loss uncut, l1", "bimt", "weights uncut, l1", "bimt "]  # fmt: skip
LEGEND = (
    "Left of l1's: at every held-out loss that both curves reach, bimt needs no more weights than l1 of the same seed. "
    f"Where learned: at losses of at most {LEARNED:g} of the least that any of the networks has without weights; this "
    "rule was chosen after the curves of seeds 0 to 4 had been seen, so that its count is no test. By seed: the "
    "geometric mean over these losses of bimt's weights over l1's. Uncut: medians of the seeds."
)

Curves = dict[tuple[str, int], "list[PrunePoint]"]
"""(method, seed) -> its pruning curve."""


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.pruning_curves import pruning_curves_figure

    by_row = [(each, curves) for each in runs.plan.rows if (curves := _curves(runs, each))]
    points = [
        [each.name, method, str(seed), *map(str, point)]
        for each, curves in by_row
        for (method, seed), curve in curves.items()
        for point in curve
    ]
    files = write_csv(docs / "figA1", TextTable(POINTS, points))
    if by_row:
        panels = {each.label: _by_method(curves) for each, curves in by_row}
        files += write_figure(docs / "figA1", pruning_curves_figure(panels))
    found = [line for each, curves in by_row if (line := _left(each, curves))]
    if found:
        head = f"{heading(runs, 'five methods, small weights cut')}.\n\n{LEGEND}"
        files += write_page(docs / "figA1-claim", head, TextTable(HEADER, found))
    said = [
        f"{line[0]}: bimt's curve left of l1's in {line[1]} seeds at all losses, in {line[2]} where learned (a rule "
        "chosen after seeds 0 to 4 had been seen)"
        for line in found
    ]
    return Made(files, "; ".join(said) or "Figure A1")


def _curves(runs: EndedRuns, row: Row) -> Curves:
    return {
        (method, seed): _curve(runs.open(row.name, method, seed))
        for method in runs.plan.methods
        for seed in runs.seeds(row.name, method)
    }


def _curve(run: FinishedRun) -> list[PrunePoint]:
    """A point for each weight that is cut, or of many weights for every few."""
    from bimt_tf.analysis.prune import prune
    from bimt_tf.analysis.pruning_frontier import weight_sizes

    inputs = run.held_out.inputs
    return prune(run.bimt, lambda model: run.loss(model(inputs)), weight_sizes(run.bimt))


def _by_method(curves: Curves) -> dict[str, list[list[PrunePoint]]]:
    found: dict[str, list[list[PrunePoint]]] = {}
    for (method, _), curve in curves.items():
        found.setdefault(method, []).append(curve)
    return found


def _left(row: Row, curves: Curves) -> list[str] | None:
    """A row of the page; None where a method's runs are missing."""
    from bimt_tf.paper.claims import pruning_curve_left_of

    seeds = [seed for method, seed in curves if method == "bimt" and ("l1", seed) in curves]
    if not seeds:
        return None
    bound = LEARNED * min(curve[-1].loss for curve in curves.values())
    learned = {key: [point for point in curve if point.loss <= bound] for key, curve in curves.items()}
    pairs = [pruning_curve_left_of(learned["bimt", seed], learned["l1", seed]) for seed in seeds]
    everywhere = [pruning_curve_left_of(curves["bimt", seed], curves["l1", seed]) for seed in seeds]
    uncut = {method: [curves[method, seed][0] for seed in seeds] for method in ("l1", "bimt")}
    return [
        row.name, _count(everywhere), _count(pairs), "; ".join(pair.numbers for pair in pairs),
        *(f"{statistics.median(one.loss for one in uncut[method]):.1e}" for method in uncut),
        *(_median(uncut[method]) for method in uncut),
    ]  # fmt: skip


def _count(pairs: Sequence[Finding]) -> str:
    return f"{sum(pair.holds for pair in pairs)} of {len(pairs)}"


def _median(points: Sequence[PrunePoint]) -> str:
    return f"{statistics.median(one.active_weights for one in points):.0f}"


FIGURE_A1 = Exhibit(
    "figA1", (*ROWS, PRODUCTS), (PRODUCTS, row("symbolic-a")), PAPER_METHODS, SEEDS, _make, quick_rows=(PRODUCTS,)
)
