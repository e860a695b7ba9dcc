"""Figure 2 of the paper: the networks that the five methods train on the products, side by side, one file a seed."""

from __future__ import annotations

from pathlib import Path

from bimt_tf.config.methods import PAPER_METHODS
from bimt_tf.paper.exhibit import PRODUCTS, SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.sweeps.result_files import write_figure

__all__ = ["FIGURE_2"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.modularity import modularity
    from bimt_tf.figures.comparison import Panel, comparison_figure
    from bimt_tf.scene.scene import scene_of

    plan = runs.plan
    files, labels = [], None
    for seed in plan.seeds:
        panels = []
        for method in plan.methods:
            if not runs.has(PRODUCTS.name, method, seed):
                continue
            run = runs.open(PRODUCTS.name, method, seed)
            graph, labels = connection_graph(run.bimt, "unrolled"), run.task.labels(run.config.data)
            note = f"loss {run.evaluate('test')['loss']:.1e} · {run.active_weights} weights · Q {modularity(graph):.2f}"
            panels.append(Panel(method, note, scene_of(run.bimt)))
        if panels:
            name = "fig2" if len(plan.seeds) == 1 else f"fig2-seed{seed}"
            files += write_figure(docs / name, comparison_figure(panels, labels=labels))
    return Made(files, f"Figure 2: {len(plan.methods)} methods, seed {plan.seeds_spelled}")


FIGURE_2 = Exhibit("fig2", (PRODUCTS,), (PRODUCTS,), PAPER_METHODS, SEEDS[:1], _make)
