"""Figure A4: weights are edited by hand, and the learned formula changes as was predicted.

The paper's text was not at hand; that its Figure A4 is about weight editing is all that is known here. The edits are
ours (hand_edits.py): each comes with the formula that it is predicted to make, computed before the edited network is
run, from what its neurons were found to hold on the *training* examples. What it then does is measured on held-out
ones: R2 with the predicted formula, with the old one, and how far the other outputs moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.figures.edits import EditPanel
    from bimt_tf.paper.hand_edits import Edited

__all__ = ["FIGURE_A4", "edit_panel"]

ROWS = (row("symbolic-b-circuit"), row("symbolic-a-circuit"))
COLUMNS = [
    "task", "seed", "edit", "numbers set", "output", "formula before", "predicted", "R2 with it", "R2 with the old one",
    "most that other outputs moved",
]  # fmt: skip


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.edits import edits_figure
    from bimt_tf.paper.hand_edits import edits_of

    files: list[Path] = []
    lines: list[list[str]] = []
    panels: dict[tuple[str, int], EditPanel] = {}
    worst = 1.0
    for each, seed, run in runs.opened():
        for number, one in enumerate(edits_of(run)):
            lines.append([each.name, str(seed), *_spelled(one)])
            panels.setdefault((each.name, number), edit_panel(one, f"{each.task}, seed {seed}"))
            worst = min(worst, one.r2)
    if panels:
        files += write_figure(docs / "figA4", edits_figure(list(panels.values()), title="Weights set by hand"))
    head = f"{heading(runs, 'each edit, held-out examples')}.\n\n{LEGEND}"
    files += write_page(docs / "figA4-table", head, TextTable(COLUMNS, lines))
    said = f"{len(lines)} edits of {len(runs.ended)} networks; R2 with the prediction at least {worst:.4f}"
    return Made(files, f"Figure A4: {said}")


LEGEND = (
    "The sine is turned round only where no neuron of the last hidden layer that output 1 reads is reached by both x2 "
    "and x4: elsewhere that edit is not predicted, and not made."
)


def edit_panel(one: Edited, where: str) -> EditPanel:
    """What the figure shows of one edit of the network that ``where`` names."""
    from bimt_tf.figures.edits import EditPanel

    others = f"moved {one.others:.0e} at most" if one.others else "as before"
    note = f"{where}; {one.numbers} numbers set; other outputs {others}\n"
    note += f"R² with the prediction {one.r2:.4f}, with the old formula {one.r2_old:.2f}"
    return EditPanel(one.what, one.before, one.predicted, one.wanted.numpy(), one.old.numpy(), one.new.numpy(), note)


def _spelled(one: Edited) -> list[str]:
    return [one.what, str(one.numbers), one.output, one.before, one.predicted, f"{one.r2:.5f}", f"{one.r2_old:.3f}",
            f"{one.others:.1e}"]  # fmt: skip


FIGURE_A4 = Exhibit("figA4", ROWS, ROWS, ("bimt",), SEEDS, _make, circuit_jobs)
