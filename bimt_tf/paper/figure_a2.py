"""Figure A2: the active neurons of the second hidden layer of symbolic (b), each against the sum of squares it holds.

The paper's claim, as far as it is known here: three neurons are left in that layer, one for each of the formulas that
share features (x1^2, x1^2 + x2^2, x1^2 + x2^2 + x3^2). The paper's text was not at hand. Outputs are linear in this
layer, so three neurons that hold any three independent sums of squares serve as well: each neuron's own is found among
all seven.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.held import Held, held_by, hidden_stages, write_neurons
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A2"]

ROWS = (row("symbolic-b"), row("symbolic-b-circuit"))
SQUARES = ("x1²", "x2²", "x3²")
COLUMNS = ["task", "seed", "neuron", "holds", "|r|", "best untrained |r|", "fit by squares", "R2 of the fit"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.neuron_quantities import NeuronPanel, NeuronRow

    files: list[Path] = []
    lines = []
    three = 0
    for each in runs.plan.rows:
        rows = []
        for seed in runs.seeds(each.name, runs.plan.methods[0]):
            run = runs.open(each.name, runs.plan.methods[0], seed)
            found, sums = second_layer(run)
            three += len(found) == 3
            panels = []
            for one in found:
                fit, r2 = fit_by_squares(run, one)
                panels.append(NeuronPanel(f"neuron {one.neuron}", one.best, sums[one.best].numpy(),
                                          one.activation.numpy(), f"|r| {one.r[one.best]:.3f}"))  # fmt: skip
                chance = f"{one.untrained[one.best]:.3f}"
                lines.append([each.name, str(seed), str(one.neuron), one.best, f"{one.r[one.best]:.4f}", chance, fit,
                              f"{r2:.4f}"])  # fmt: skip
            rows.append(NeuronRow(f"seed {seed}", panels))
        files += write_neurons(runs.plan, each, rows, "neurons of the second hidden layer", docs)
    head = f"{heading(runs, 'each neuron, held-out examples')}.\n\n{LEGEND}"
    files += write_page(docs / "figA2-table", head, TextTable(COLUMNS, lines))
    return Made(files, f"Figure A2: three neurons in the second hidden layer in {three} of {len(runs.ended)} networks")


LEGEND = (
    "holds: the square or sum of squares, of all seven, with the greatest |r|; best untrained |r|: the greatest that "
    "any neuron of this layer has before training; fit by squares: a linear fit of the activation by the three squares."
)


def second_layer(run: FinishedRun) -> tuple[list[Held], dict[str, Float[Tensor, " n"]]]:
    """The active neurons of the second hidden layer, and the squares and all their sums by name."""
    squares = run.held_out.inputs.double() ** 2
    chosen = [some for size in (1, 2, 3) for some in combinations(range(3), size)]
    named = {"+".join(SQUARES[i] for i in some): squares[:, list(some)].sum(1) for some in chosen}
    return held_by(run, hidden_stages(run)[1], named), named


def fit_by_squares(run: FinishedRun, one: Held) -> tuple[str, float]:
    """The activation as a linear function of the squares, in words, and its R2 on the same examples."""
    import torch

    squares = run.held_out.inputs.double() ** 2
    design = torch.cat([squares, torch.ones(len(squares), 1, dtype=squares.dtype)], dim=1)
    found = torch.linalg.lstsq(design, one.activation[:, None]).solution[:, 0]
    error = one.activation - design @ found
    spread = float((one.activation - one.activation.mean()).square().sum())
    words = " ".join(f"{float(value):+.2g} {name}" for value, name in zip(found, (*SQUARES, ""), strict=True))
    return words.strip(), 1 - float(error.square().sum()) / spread if spread else 0.0


FIGURE_A2 = Exhibit("figA2", ROWS, (row("symbolic-b-circuit"),), ("bimt",), SEEDS, _make, circuit_jobs)
