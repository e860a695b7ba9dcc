"""Aligned runs in one order, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bimt_tf.analysis.align_results import Alignment
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.runs.ask.align import names_of
from bimt_tf.runs.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure_of"]


def figure_of(alignment: Alignment, runs: Sequence[Trained]) -> Figure:
    """The networks of an alignment side by side, every neuron where its partner stands in the reference.

    Args:
        alignment: of these runs.
        runs: as they were given to :func:`bimt_tf.align`; their layouts stay as they are.

    Raises:
        InputError: for other runs than were aligned.
    """
    from bimt_tf.figures.aligned import AlignedPanel, aligned_figure
    from bimt_tf.scene.scene import scene_of

    names = names_of(runs)
    if tuple(names) != alignment.names:
        raise InputError(f"the alignment is of {', '.join(alignment.names)}, found runs {', '.join(names)}")
    beside = {one.name: one for one in alignment.comparisons}
    panels = []
    for name, run in zip(names, runs, strict=True):
        own = run.bimt
        there = BIMT(own.model, own.geometry, own.wiring, own.reduction, alignment.layouts[name])
        note = f"{run.active_weights:,} weights"
        if name in beside:
            note += f" · {beside[name].edges.value:.0%} of edges shared (chance {beside[name].edges.chance:.0%})"
        panels.append(AlignedPanel(name, note, scene_of(there, run.threshold)))
    labels = [run.task.labels(run.config.data) for run in runs]
    shared = labels[0] if all(each == labels[0] for each in labels) else None
    return aligned_figure(alignment, panels, labels=shared)
