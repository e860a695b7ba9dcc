"""What a network puts out after its weights were edited by hand, against what was predicted: a scatter an edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, MUTED, NEGATIVE, PALE, POSITIVE, STYLE

__all__ = ["EditPanel", "edits_figure"]

MOST_POINTS = 400  # examples drawn


class EditPanel(NamedTuple):
    """One edit and the output it is meant for.

    ``what`` was done; the formula ``before`` and that ``predicted``; by held-out example, what is ``wanted`` by the
    prediction, what the network gave (``old``) and gives (``new``); ``note``: numbers, in two short lines.
    """

    what: str
    before: str
    predicted: str
    wanted: Float[np.ndarray, " n"]
    old: Float[np.ndarray, " n"]
    new: Float[np.ndarray, " n"]
    note: str


def edits_figure(panels: Sequence[EditPanel], *, columns: int = 2, title: str | None = None) -> Figure:
    """Outputs against the prediction, of the network as it was (open squares) and as edited (points).

    Raises:
        InputError: for no edit.
    """
    if not panels:
        raise InputError("edits_figure needs at least one edit")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(3.5 * columns, 2.7 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            few = slice(0, MOST_POINTS)
            low, high = float(panel.wanted.min()), float(panel.wanted.max())
            axes.plot((low, high), (low, high), color=PALE, lw=0.8, zorder=0)
            axes.scatter(panel.wanted[few], panel.old[few], s=7, marker="s", fc="none", ec=NEGATIVE, lw=0.5, alpha=0.7,
                         label=f"before: {panel.before}")  # fmt: skip
            axes.scatter(panel.wanted[few], panel.new[few], s=6, color=POSITIVE, lw=0, label="edited")
            axes.set(xlabel=f"predicted: {panel.predicted}", ylabel="output")
            axes.set_title(panel.what, fontsize=7.5, color=INK, pad=20)
            note = axes.text(0, 1.02, panel.note, transform=axes.transAxes, fontsize=6.3, color=MUTED, va="bottom")
            note.set_in_layout(False)  # it may stand over the margin, and must not push the axes together
            axes.legend(loc="best", fontsize=6, handletextpad=0.2)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        if title:
            figure.suptitle(title, fontsize=9, weight="bold", x=0.01, ha="left")
    return figure
