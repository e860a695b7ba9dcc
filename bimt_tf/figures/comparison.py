"""Networks side by side, one panel each (paper, Figure 2: the five methods on one task)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bimt_tf.errors import InputError
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.network_wires import DASHED
from bimt_tf.figures.style import MUTED, STYLE, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.scene.scene import Scene

__all__ = ["Panel", "comparison_figure"]

PANEL, ROW_PITCH = 2.1, 0.72  # inches
SIDE, GAP, BOTTOM, TOP = 0.3, 0.55, 0.62, 0.86  # margins, inches


class Panel(NamedTuple):
    """One network: its name, one or two lines of numbers under the name, and its scene (scene/scene.py)."""

    name: str
    note: str
    scene: Scene


def comparison_figure(panels: Sequence[Panel], *, labels: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """Draw networks of one shape from left to right.

    Args:
        panels: at least one.
        labels: stage name -> a name for each of its neurons, the same in every panel.

    Raises:
        InputError: for no panel, or what ``network_figure`` refuses.
    """
    if not panels:
        raise InputError("comparison_figure needs at least one network to draw")
    tall = max(panel.scene.rows[-1].y + panel.scene.rows[-1].half for panel in panels)
    height = ROW_PITCH * max(tall, 1)
    size = (2 * SIDE + len(panels) * PANEL + (len(panels) - 1) * GAP + 0.2, BOTTOM + height + TOP)
    with rc_context(STYLE):
        figure = Figure(figsize=size)
        for i, panel in enumerate(panels):
            left = SIDE + i * (PANEL + GAP)
            axes = figure.add_axes((left / size[0], BOTTOM / size[1], PANEL / size[0], height / size[1]))
            draw_network(axes, panel.scene, labels=labels)
            figure.text(left / size[0], 1 - 0.1 / size[1], panel.name, fontsize=10, weight="bold", va="top")
            figure.text(left / size[0], 1 - 0.29 / size[1], panel.note, fontsize=6.5, color=MUTED, va="top")
        handles = [
            Line2D([], [], color=WIRE_POSITIVE, lw=1.6, label="positive"),
            Line2D([], [], color=WIRE_NEGATIVE, lw=1.6, ls=DASHED, label="negative"),
        ]
        figure.legend(handles=handles, loc="lower right", bbox_to_anchor=(1 - 0.1 / size[0], 0.02 / size[1]),
                      ncols=2, handlelength=1.4, columnspacing=1.2, borderaxespad=0)  # fmt: skip
        figure.text(SIDE / size[0], 0.06 / size[1], "Width and opacity: |w| relative to the largest of its matrix.",
                    fontsize=6.5, color=MUTED, va="bottom")  # fmt: skip
    return figure
