"""Figure A3: the neurons of the last two hidden layers of symbolic (c) against I = (x1 - x2)^2 + (x3 - x4)^2.

The paper's claim, as far as it is known here: one neuron is left, and it holds I, of which the output is the square
root. The paper's text was not at hand. The last neuron may as well hold the root, which is linear in the output: I and
its root correlate by .97 on these inputs, so that .95 does not tell them apart. So |r| with the root, and the rank
correlation with I, stand beside that with I.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.held import Held, correlation, held_by, hidden_stages, write_neurons
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A3"]

ROWS = (row("symbolic-c"), row("symbolic-c-circuit"), row("symbolic-c-neurons"))
INNER, ROOT, RANK = "I", "√I", "rank of I"
HELD = 0.95  # |r| from which a neuron is said to hold a quantity (paper, Section 3.1)
COLUMNS = ["task", "seed", "layer", "neuron", "|r| with I", "|r| with √I", "rank |r| with I", "untrained, I"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.neuron_quantities import NeuronPanel, NeuronRow

    files: list[Path] = []
    lines = []
    single = 0
    for each in runs.plan.rows:
        rows = []
        for seed in runs.seeds(each.name, runs.plan.methods[0]):
            run = runs.open(each.name, runs.plan.methods[0], seed)
            found, inner = last_layers(run)
            last = [one for one in found if one.stage == hidden_stages(run)[-1]]
            single += len(last) == 1 and last[0].r[INNER] > HELD
            panels = [
                NeuronPanel(
                    f"{one.stage}, neuron {one.neuron}", INNER, inner.numpy(), one.activation.numpy(), _note(one)
                )
                for one in found
            ]
            lines += [[each.name, str(seed), *_spelled(one)] for one in found]
            rows.append(NeuronRow(f"seed {seed}", panels))
        files += write_neurons(runs.plan, each, rows, "activations against I", docs)
    head = f"{heading(runs, 'each neuron, held-out examples')}.\n\n{LEGEND}"
    files += write_page(docs / "figA3-table", head, TextTable(COLUMNS, lines))
    said = f"one neuron in the last hidden layer, |r| with I above {HELD:g}, in {single} of {len(runs.ended)} networks"
    return Made(files, f"Figure A3: {said}")


LEGEND = (
    "I = (x1−x2)² + (x3−x4)², the output is √I, whose own |r| with I is .97; rank |r|: Spearman's, 1 for any rising "
    "function of I; untrained: the greatest |r| with I that any neuron of this layer has before training."
)


def last_layers(run: FinishedRun) -> tuple[list[Held], Float[Tensor, " n"]]:
    """The active neurons of the last two hidden layers with |r| of I, its root and its rank, and I itself."""
    x = run.held_out.inputs.double()
    inner = (x[:, 0] - x[:, 1]) ** 2 + (x[:, 2] - x[:, 3]) ** 2
    named = {INNER: inner, ROOT: inner.sqrt()}
    found = [one for stage in hidden_stages(run)[-2:] for one in held_by(run, stage, named)]
    return [one._replace(r={**one.r, RANK: _rank_correlation(one.activation, inner)}) for one in found], inner


def _rank_correlation(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> float:
    return correlation(first.argsort().argsort(), second.argsort().argsort())


def _note(one: Held) -> str:
    return f"|r| I {one.r[INNER]:.3f}, √I {one.r[ROOT]:.3f}"


def _spelled(one: Held) -> list[str]:
    numbers = [f"{one.r[name]:.4f}" for name in (INNER, ROOT, RANK)]
    return [one.stage, str(one.neuron), *numbers, f"{one.untrained[INNER]:.3f}"]


FIGURE_A3 = Exhibit("figA3", ROWS, (row("symbolic-c-neurons"),), ("bimt",), SEEDS, _make, circuit_jobs)
