"""Figure A9: how large the weights of an image classifier are, in order of size, by method and layer.

Whether the paper's Figure A9 is this one was not known here: its text was not at hand, and the order of A8 to A11 is
ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.images import DIGITS, IMAGE_ROWS, image_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.figures.weight_ranks import Sizes
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A9"]

COLUMNS = ["task", "method", "seed", "matrix", "weights", "active", "above a tenth of the largest", "largest"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.weight_ranks import weight_ranks_figure

    files: list[Path] = []
    lines: list[list[str]] = []
    for each in runs.plan.rows:
        curves: dict[str, list[list[Sizes]]] = {}
        for method in runs.plan.methods:
            for seed in runs.seeds(each.name, method):
                sizes = _sizes(runs.open(each.name, method, seed))
                curves.setdefault(method, []).append(sizes)
                lines += [[each.task, method, str(seed), *_counts(one)] for one in sizes]
        if curves:
            name = runs.plan.exhibit.name + ("" if each is DIGITS else f"-{each.name}")
            files += write_figure(docs / name, weight_ranks_figure(curves, title=f"{each.task}: weights by rank"))
    files += write_page(docs / "figA9-table", f"{heading(runs, 'each seed')}.", TextTable(COLUMNS, lines))
    return Made(files, f"Figure A9: weights by rank, {len(lines)} matrices of {len(runs.ended)} networks")


def _sizes(run: FinishedRun) -> list[Sizes]:
    from bimt_tf.figures.weight_ranks import Sizes

    parameters = run.bimt.parameters
    return [
        Sizes(
            f"{c.source.name} to {c.target.name}",
            parameters[c.parameter].detach().abs().flatten().cpu().numpy(),
            run.threshold,
        )
        for c in run.bimt.wiring.connections
    ]


def _counts(one: Sizes) -> list[str]:
    largest = float(one.sizes.max())
    active, strong = int((one.sizes > one.threshold).sum()), int((one.sizes > largest / 10).sum())
    return [one.matrix, str(one.sizes.size), str(active), str(strong), f"{largest:.3g}"]


FIGURE_A9 = Exhibit("figA9", IMAGE_ROWS, (DIGITS,), ("vanilla", "l1", "bimt"), SEEDS[:1], _make, image_jobs)
