"""Figure 8 of the paper: a network that classifies images, in three dimensions; one file a row and seed.

Pixels lie in their own places, hidden neurons on grids, the ten outputs on a ring. Beside the picture stand the numbers
that it can be judged by: accuracy, weights, Q, and the mean wiring length beside that of the neurons dealt at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.images import DIGITS, IMAGE_ROWS, file_name, image_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_8"]

DRAWS = 200
COLUMNS = ["task", "seed", "accuracy", "active weights", "Q", "mean wiring length", "dealt at random"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.network_3d import network_3d_figure
    from bimt_tf.scene.space import space_of

    files: list[Path] = []
    lines = []
    for each, seed, run in runs.opened():
        space = space_of(run.bimt, run.threshold)
        told = run.summary
        accuracy, q = float(told["test_accuracy"]), float(told["modularity_shared"])
        numbers = f"accuracy {accuracy:.1%}, {space.active:,} weights, Q {q:.2f}"
        title = f"{each.task} · {run.config.method} · seed {seed}: {numbers}"
        shades = {"input": run.examples("train").inputs.mean(0).numpy()}
        labels = run.task.labels(run.config.data)
        figure = network_3d_figure(space, title=title, labels=labels, shades=shades)
        files += write_figure(docs / file_name(runs.plan, each, seed), figure)
        own, dealt = wiring_lengths(run)
        lines.append([each.task, str(seed), f"{accuracy:.1%}", str(space.active), f"{q:.3f}", f"{own:.3f}",
                      f"{dealt:.3f}"])  # fmt: skip
    said = f"{heading(runs, 'each seed')}.\n\n{LEGEND}"
    files += write_page(docs / f"{runs.plan.exhibit.name}-table", said, TextTable(COLUMNS, lines))
    first = lines[0] if lines else []
    return Made(
        files, f"Figure 8: {len(lines)} networks; the first: {', '.join(first[2:3])}, {', '.join(first[3:4])} weights"
    )


LEGEND = (
    f"Mean wiring length: in-plane length of the active weights, weighted by |w|; dealt at random: the mean of {DRAWS} "
    "layouts in which the active neurons of each hidden layer stand in each other's slots in random order."
)


def wiring_lengths(run: FinishedRun, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The in-plane length sum |w| d / sum |w| of the active wires, and its mean over layouts dealt at random.

    Where a hidden layer's active neurons stand is permuted among them; inputs and outputs stay.
    """
    import numpy as np

    from bimt_tf.scene.scene import ACTIVE, scene_of

    bimt = run.bimt
    scene = scene_of(bimt, run.threshold, most_wires=bimt.wiring.total_weights)
    places = [bimt.places[row.population].numpy() for row in scene.rows]
    norm = 1 if bimt.geometry.norm == "l1" else 2

    def mean_length(at: list[np.ndarray]) -> float:
        total = sizes = 0.0
        for wires in scene.wires:
            on = wires.active
            apart = at[wires.source][wires.sources[on]] - at[wires.target][wires.targets[on]]
            weights = np.abs(wires.weights[on])
            total += float((weights * np.linalg.norm(apart, norm, axis=1)).sum())
            sizes += float(weights.sum())
        return total / sizes if sizes else 0.0

    generator = np.random.default_rng(seed)
    dealt = []
    for _ in range(draws):
        at = [own.copy() for own in places]
        for layer in range(1, len(at) - 1):
            neurons = np.flatnonzero(scene.states[layer] == ACTIVE)
            at[layer][neurons] = at[layer][generator.permutation(neurons)]
        dealt.append(mean_length(at))
    return mean_length(places), float(np.mean(dealt))


FIGURE_8 = Exhibit("fig8", IMAGE_ROWS, (DIGITS,), ("bimt",), SEEDS[:1], _make, image_jobs)
