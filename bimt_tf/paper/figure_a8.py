"""Figure A8: how the network of an image classifier grows in three dimensions, from its first step to its last.

Whether the paper's Figure A8 is this one was not known here: its text was not at hand, and the order of A8 to A11 is
ours. Made of the snapshots that a run keeps (docs/evolution.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.images import DIGITS, IMAGE_ROWS, file_name, image_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.runs.evolution import Snapshot
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A8"]

MOMENTS = (0.0, 0.01, 0.25, 0.375, 0.5, 1.0)
"""Shares of the training: learned early, pruned by each phase of lambda, at the end."""
COLUMNS = ["task", "seed", "step", "lambda", "held-out loss", "accuracy", "active weights", "mean wiring length"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    import torch

    from bimt_tf.analysis.wiring_length import wiring_length
    from bimt_tf.figures.network_3d import Panel3D, networks_3d_figure
    from bimt_tf.scene.space import space_of
    from bimt_tf.training.schedule import lam_at

    files: list[Path] = []
    lines = []
    for each, seed, run in runs.opened():
        chosen = _moments(run)
        panels = []
        for one in run.snapshots:
            bimt = one.bimt()
            space = space_of(bimt, one.threshold)
            with torch.no_grad():
                measured = run.task.measure(run.config.data, bimt.model, run.held_out)
            lam = lam_at(run.config, max(one.step - 1, 0))
            length = wiring_length(bimt).mean
            lines.append([each.task, str(seed), str(one.step), f"{lam:g}", f"{one.loss:.2e}",
                          f"{measured['accuracy']:.1%}", str(space.active), f"{length:.3f}"])  # fmt: skip
            if one in chosen:
                note = f"accuracy {measured['accuracy']:.1%} · {space.active:,} weights · λ {lam:g}"
                panels.append(Panel3D(f"step {one.step:,}", note, space))
        title = f"{each.task} · {run.config.method} · seed {seed}: evolution"
        labels = run.task.labels(run.config.data)
        figure = networks_3d_figure(panels, title=title, labels=labels, above=False)
        files += write_figure(docs / file_name(runs.plan, each, seed), figure)
    head = f"{heading(runs, 'each snapshot')}.\n\n{LEGEND}"
    files += write_page(docs / "figA8-table", head, TextTable(COLUMNS, lines))
    return Made(files, f"Figure A8: {len(lines)} snapshots of {len(runs.ended)} networks")


LEGEND = (
    "Mean wiring length: in-plane length of all weights, weighted by |w|; Figure 8 has it of the active ones alone."
)


def _moments(run: FinishedRun) -> list[Snapshot]:
    """The snapshots nearest to MOMENTS, each once."""
    found = [one for one in run.snapshots if one.place.round_number is None]
    if not found:
        raise InputError(
            f"{run.path} has no snapshots, of which figA8 is made: it is of an earlier version, or training.snapshots "
            "was false; remove it, and the same command makes it anew"
        )
    steps = run.config.training.steps
    nearest = {min(range(len(found)), key=lambda i: abs(found[i].step - share * steps)) for share in MOMENTS}
    return [found[i] for i in sorted(nearest)]


FIGURE_A8 = Exhibit("figA8", IMAGE_ROWS, (DIGITS,), ("bimt",), SEEDS[:1], _make, image_jobs)
