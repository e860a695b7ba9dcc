"""Figure 4 of the paper: two moons, how the network and its decision boundary develop while it is trained.

Stages are snapshots of one run (``run.snapshots``): the start, soon after it, near the steps at which lambda
changes, and the end. All numbers are of held-out examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.writing import TextTable, write_csv
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.figures.stages import Boundary
    from bimt_tf.models.mlp import MLP
    from bimt_tf.runs.evolution import Snapshot
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_4", "SHARES", "chosen_snapshots"]

SHARES = (0.0, 0.01, 0.06, 0.25, 0.75, 1.0)
"""Which snapshots are drawn: those nearest to these shares of the steps."""

GRID, BEYOND = 140, 0.35  # points of the boundary's grid along x1; how far it reaches beyond the examples
POINTS = ["seed", "step", "loss", "accuracy", "weights", "Q", "classes that weights lead to"]


class StageNumbers(NamedTuple):
    """One seed's network at one step, on held-out examples; ``classes``: how many outputs active weights lead to."""

    seed: int
    step: int
    loss: float
    accuracy: float
    weights: int
    q: float | None
    classes: int


def chosen_snapshots(snapshots: Sequence[Snapshot], steps: int) -> list[Snapshot]:
    """Of a run of ``steps`` steps, the snapshots nearest to each of SHARES; each once."""
    nearest = (min(snapshots, key=lambda one: abs(one.step - share * steps)) for share in SHARES if snapshots)
    return list({one.step: one for one in nearest}.values())


def _make(runs: EndedRuns, docs: Path) -> Made:
    files: list[Path] = []
    lines, ends, without = [], [], []
    (each,) = runs.plan.rows
    for seed in runs.seeds(each.name, "bimt"):
        run = runs.open(each.name, "bimt", seed)
        chosen = chosen_snapshots(run.snapshots, run.config.training.steps)
        if not chosen:
            without.append(str(run.path))
            continue
        numbers = [_numbers(run, seed, one) for one in chosen]
        if not files:
            files += _draw(run, f"{each.label}, seed {seed}", chosen, numbers, docs)
        ends.append(numbers[-1])
        lines += [_spelled(one) for one in numbers]
    files += write_csv(docs / "fig4", TextTable(POINTS, lines))
    return Made(files, f"Figure 4: {_said(ends, without)}")


def _said(ends: Sequence[StageNumbers], without: Sequence[str]) -> str:
    said = []
    if ends:
        worst = min(one.accuracy for one in ends)
        one_class = sum(one.classes == 1 for one in ends)
        said.append(
            f"at least {worst:.1%} of held-out points right at the end (the paper: 100%); all weights lead to one "
            f"class in {one_class} of {len(ends)} seeds"
        )
    if without:
        said.append(f"no snapshots in {', '.join(without)}: remove them, and the same command trains them again")
    return "; ".join(said) or "no run has ended"


def _numbers(run: FinishedRun, seed: int, snapshot: Snapshot) -> StageNumbers:
    import torch

    from bimt_tf.analysis.active import active_weights
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.modularity import modularity
    from bimt_tf.analysis.paths import live

    bimt = snapshot.bimt()
    with torch.no_grad():
        measured = run.task.measure(run.config.data, bimt.model.eval(), run.held_out)
    graph = connection_graph(bimt, "unrolled", snapshot.threshold)
    outputs = {neuron for name, neuron in live(graph) if name == "output"}
    q = modularity(graph) if graph.number_of_edges() else None
    weights = active_weights(bimt, snapshot.threshold)
    return StageNumbers(seed, snapshot.step, measured["loss"], measured["accuracy"], weights, q, len(outputs))


def _spelled(one: StageNumbers) -> list[str]:
    q = "" if one.q is None else f"{one.q:.4f}"
    return [str(one.seed), str(one.step), f"{one.loss:.6g}", f"{one.accuracy:.4f}", str(one.weights), q,
            str(one.classes)]  # fmt: skip


def _draw(
    run: FinishedRun, title: str, chosen: Sequence[Snapshot], numbers: Sequence[StageNumbers], docs: Path
) -> list[Path]:
    from bimt_tf.figures.stages import Stage, stages_figure

    examples = run.held_out
    points = examples.inputs.cpu().numpy()
    stages = []
    for one, found in zip(chosen, numbers, strict=True):
        q = "" if found.q is None else f" · Q {found.q:.2f}"
        notes = (f"loss {found.loss:.1e} · {found.accuracy:.1%} right", f"{found.weights} weights{q}")
        stages.append(Stage(f"step {one.step:,}", notes, one.scene(), _boundary(one.model(), points)))  # type: ignore[arg-type]
    labels = run.task.labels(run.config.data)
    classes, names = examples.targets.cpu().numpy(), tuple(labels["output"])
    figure = stages_figure(stages, points, classes, names=names, title=title, labels=labels)  # type: ignore[arg-type]
    return write_figure(docs / "fig4", figure)


def _boundary(model: MLP, points: object) -> Boundary:
    """The model's probability of the second class on a grid around the examples."""
    import numpy as np
    import torch

    from bimt_tf.figures.stages import Boundary

    low, high = np.min(points, 0) - BEYOND, np.max(points, 0) + BEYOND  # type: ignore[call-overload]
    x = np.linspace(low[0], high[0], GRID)
    y = np.linspace(low[1], high[1], max(int(GRID * (high[1] - low[1]) / (high[0] - low[0])), 2))
    grid = torch.tensor(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), dtype=next(model.parameters()).dtype)
    with torch.no_grad():
        probability = torch.softmax(model.eval()(grid), -1)[:, 1]
    return Boundary(x, y, probability.double().numpy().reshape(len(y), len(x)))


_ROW = row("two-moon")
FIGURE_4 = Exhibit("fig4", (_ROW,), (_ROW,), ("bimt",), SEEDS, _make)
