"""The network at some steps, side by side (paper, Fig. 4 and the like): one scene a panel, rows at equal heights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.network_key import wrapped
from bimt_tf.figures.network_page import measure
from bimt_tf.figures.style import INK, MUTED, STYLE
from bimt_tf.figures.tween import Frame
from bimt_tf.scene.wires import MOST_WIRES

__all__ = ["evolution_figure"]

PANEL, GAP, RIGHT = 1.75, 0.22, 0.15  # inches
PITCH, TALLEST = 0.62, 5.2  # inches between two depths; of a panel
TOP, TITLE, BOTTOM, NOTE = 0.7, 0.26, 0.3, 0.14
ROW = 7.0  # font size of rows' names


def evolution_figure(
    frames: Sequence[Frame], *, title: str | None = None, labels: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Draw the network at each of some steps, from left to right.

    Args:
        frames: at least two, all of one network; scenes of more wires than are drawn one by one have densities.
        title: over the figure.
        labels: stage name -> a name for each of its neurons.

    Raises:
        InputError: for fewer frames, or for what ``network_figure`` refuses.
    """
    if len(frames) < 2:
        raise InputError(f"an evolution needs at least two frames, found {len(frames)}")
    rows = frames[-1].scene.rows
    tall = min(PITCH * max(rows[-1].y + rows[-1].half - rows[0].y + rows[0].half, 1.0), TALLEST)
    left = 0.22 + max(measure(row.label, ROW)[0] for row in rows) / 72
    wide = left + len(frames) * (PANEL + GAP) - GAP + RIGHT
    above = TOP + (TITLE if title else 0.0)
    noted = any(frame.scene.dense for frame in frames)
    below = BOTTOM + (NOTE if noted else 0.0)
    high = above + tall + below
    with rc_context(STYLE):
        figure = Figure(figsize=(wide, high))
        for number, frame in enumerate(frames):
            x = left + number * (PANEL + GAP)
            axes = figure.add_axes((x / wide, below / high, PANEL / wide, tall / high))
            draw_network(axes, frame.scene, labels=labels if number in (0, len(frames) - 1) else None)
            if number == 0:
                for row in rows:
                    axes.text(-0.05, row.y, row.label, ha="right", va="center", fontsize=ROW, parse_math=False)
            where = "elimination" if frame.phase == "eliminate" else f"step {frame.step:,}, {frame.phase}"
            lines = (where, f"{frame.scene.active:,} weights", f"held-out loss {frame.loss:.2g}")
            for i, text in enumerate(lines):
                size, weight, colour = (6.5, "normal", MUTED) if i else (7.5, "bold", INK)
                y = (high - above + 0.58 - 0.13 * i) / high
                figure.text(x / wide, y, text, fontsize=size, weight=weight, color=colour, va="center")
        if title:
            first = wrapped(title, 9.0, 72 * (wide - left))[0]
            figure.text(left / wide, 1 - 0.1 / high, first, fontsize=9, weight="bold", va="top", parse_math=False)
        if noted:
            note = f"Of more than {MOST_WIRES:,} weights: shading, and the strongest lines."
            figure.text(left / wide, 0.07 / high, note, fontsize=6.3, color=MUTED, va="bottom")
    return figure
