"""Figure A10: the features of an image classifier, the input weights of each neuron of the first hidden layer.

Whether the paper's Figure A10 is this one was not known here: its text was not at hand, and the order of A8 to A11 is
ours. How local features are is measured against neurons dealt to the slots at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.images import DIGITS, IMAGE_ROWS, file_name, image_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float

    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A10"]

DRAWS = 1_000
COLUMNS = [
    "task", "seed", "neurons", "pixels read", "pixels a neuron reads", "distance", "dealt at random", "95% of these",
    "p",
]  # fmt: skip


class Features(NamedTuple):
    """``weights`` [pixels, neurons] (inactive ones are 0), places as lengths, and which neurons are active."""

    weights: Float[np.ndarray, "pixels neurons"]
    places: Float[np.ndarray, "neurons 2"]
    pixel_places: Float[np.ndarray, "pixels 2"]
    active: Bool[np.ndarray, " neurons"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.image_features import image_features_figure

    files: list[Path] = []
    lines = []
    for each, seed, run in runs.opened():
        found = features_of(run)
        count = int(found.active.sum())
        title = (
            f"{each.task} · {run.config.method} · seed {seed}: what the {count} active neurons of the first layer read"
        )
        files += write_figure(docs / file_name(runs.plan, each, seed), image_features_figure(*found, title=title))
        lines.append([each.task, str(seed), *_locality(found)])
    files += write_page(docs / "figA10-table", f"{heading(runs, 'each seed')}.\n\n{LEGEND}", TextTable(COLUMNS, lines))
    return Made(files, f"Figure A10: features of {len(lines)} networks")


LEGEND = (
    "Distance: between a neuron's place and the |w|-weighted centre of the pixels that it reads, the mean over active "
    f"neurons, in lengths of the geometry (the plane is 2 wide); dealt at random: the active neurons in each other's "
    f"slots, {DRAWS:,} draws; p: how often these are at most as far."
)


def features_of(run: FinishedRun) -> Features:
    """What the active neurons of the first hidden layer read; the weights off any path are left out as 0."""
    import numpy as np

    from bimt_tf.scene.scene import ACTIVE, scene_of

    bimt = run.bimt
    scene = scene_of(bimt, run.threshold, most_wires=bimt.wiring.total_weights)
    (wires,) = (one for one in scene.wires if one.source == 0)
    places = [bimt.places[scene.rows[i].population].numpy() for i in (wires.source, wires.target)]
    weights = np.zeros((len(places[0]), len(places[1])))
    on = wires.active
    weights[wires.sources[on], wires.targets[on]] = wires.weights[on]
    return Features(weights, places[1], places[0], scene.states[wires.target] == ACTIVE)


def _locality(found: Features) -> list[str]:
    """Of the table: neurons, pixels read, pixels a neuron reads, distance, chance."""
    import numpy as np

    weights = np.abs(found.weights[:, found.active])
    there = weights.sum(0) > 0
    centres = (weights[:, there].T @ found.pixel_places) / weights[:, there].sum(0)[:, None]
    places = found.places[found.active][there]

    def apart(at: np.ndarray) -> float:
        return float(np.linalg.norm(at - centres, axis=1).mean())

    generator = np.random.default_rng(0)
    dealt = np.array([apart(generator.permutation(places)) for _ in range(DRAWS)])
    low, high = np.quantile(dealt, (0.025, 0.975))
    own = apart(places)
    p = (1 + int((dealt <= own).sum())) / (1 + DRAWS)
    read = (weights > 0).sum(0)
    pixels = int((weights.sum(1) > 0).sum())
    return [
        str(int(there.sum())), str(pixels), f"{read.mean():.1f} ({read.min()} to {read.max()})", f"{own:.3f}",
        f"{dealt.mean():.3f}", f"{low:.3f} to {high:.3f}", f"{p:.3f}",
    ]  # fmt: skip


FIGURE_A10 = Exhibit("figA10", IMAGE_ROWS, (DIGITS,), ("bimt",), SEEDS[:1], _make, image_jobs)
