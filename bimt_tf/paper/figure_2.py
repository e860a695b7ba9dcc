"""Figure 2 of the paper: the networks that the five methods train on the products, side by side, one file a seed.

The function is x1 x4 + x2 x3 and x1 x4 - x2 x3, so a network that falls into modules computes the two products apart.
Beside Q and the mean wiring length (Q cannot see where neurons stand) the figure says how many hidden neurons are
mixed: reached by active weights from an input of either product.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.config.methods import PAPER_METHODS
from bimt_tf.paper.exhibit import PRODUCTS, SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.writing import TextTable, write_csv
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_2", "mixed_neurons"]

PAIRS = ((0, 3), (1, 2))
"""Inputs of either product."""

POINTS = ["method", "seed", "loss", "weights", "Q", "mean wiring length", "hidden neurons", "mixed"]


class Numbers(NamedTuple):
    """One network on held-out examples; ``hidden``: its neurons on paths, ``mixed`` of them read both products."""

    loss: float
    weights: int
    q: float
    wiring: float
    hidden: int
    mixed: int


def mixed_neurons(run: FinishedRun) -> tuple[int, int]:
    """How many hidden neurons are on a path, and how many of these an input of either product reaches."""
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.paths import live, upstream

    graph = connection_graph(run.bimt, "unrolled", run.threshold)
    hidden = [node for node in live(graph) if node[0].startswith("hidden")]
    reached = [{i for name, i in upstream(graph, node) if name == "input"} for node in hidden]
    return len(hidden), sum(all(any(i in found for i in pair) for pair in PAIRS) for found in reached)


def _numbers(run: FinishedRun) -> Numbers:
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.modularity import modularity
    from bimt_tf.analysis.wiring_length import wiring_length

    q = modularity(connection_graph(run.bimt, "unrolled", run.threshold))
    wiring = wiring_length(run.bimt).mean
    return Numbers(run.evaluate()["loss"], run.active_weights, q, wiring, *mixed_neurons(run))


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.comparison import Panel, comparison_figure
    from bimt_tf.scene.scene import scene_of

    plan = runs.plan
    files: list[Path] = []
    lines: list[list[str]] = []
    found: dict[str, list[Numbers]] = {}
    for seed in plan.seeds:
        panels, labels = [], None
        for method in plan.methods:
            if not runs.has(PRODUCTS.name, method, seed):
                continue
            run = runs.open(PRODUCTS.name, method, seed)
            one, labels = _numbers(run), run.task.labels(run.config.data)
            notes = (
                f"loss {one.loss:.1e} · {one.weights} weights · Q {one.q:.2f}\n"
                f"mean wire {one.wiring:.2f} · {one.mixed} of {one.hidden} hidden neurons mixed"
            )
            panels.append(Panel(method, notes, scene_of(run.bimt, run.threshold)))
            lines.append([method, str(seed), *(f"{value:.6g}" for value in one)])
            found.setdefault(method, []).append(one)
        if panels:
            name = "fig2" if len(plan.seeds) == 1 else f"fig2-seed{seed}"
            files += write_figure(docs / name, comparison_figure(panels, labels=labels))
    files += write_csv(docs / "fig2", TextTable(POINTS, lines))
    said = [
        f"{name} {sum(one.mixed for one in own)} of {sum(one.hidden for one in own)}" for name, own in found.items()
    ]
    return Made(files, f"Figure 2: hidden neurons that read both products: {', '.join(said) or 'no run has ended'}")


FIGURE_2 = Exhibit("fig2", (PRODUCTS,), (PRODUCTS,), PAPER_METHODS, SEEDS[:1], _make)
