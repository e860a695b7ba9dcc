"""Networks side by side, one panel each (paper, Figure 2: the five methods on one task)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.network_key import LINE, draw_entries, draw_lines, flowed, wrapped
from bimt_tf.figures.panel_key import draw_row_names, marks_of, room_of_names
from bimt_tf.figures.style import MUTED, STYLE
from bimt_tf.scene.scene import Scene

__all__ = ["Panel", "comparison_figure"]

PANEL, ROW_PITCH = 2.1, 0.72  # inches
SIDE, GAP, LABELS, TOP = 0.3, 0.55, 0.4, 0.86  # margins, inches; LABELS: between the panels and the key
NOTE = 6.3  # font size


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
    scenes = [panel.scene for panel in panels]
    tall = max(scene.rows[-1].y + scene.rows[-1].half for scene in scenes)
    height, side = ROW_PITCH * max(tall, 1), room_of_names(scenes) + 0.25
    width = side + len(panels) * PANEL + (len(panels) - 1) * GAP + SIDE
    note = "Width and opacity: |w| relative to the largest of its matrix. Small figures: neurons by index."
    entries, notes = flowed(marks_of(scenes), 72 * (width - side)), wrapped(note, NOTE, 72 * (width - side))
    bottom = LABELS + (len(entries) + len(notes)) * LINE / 72 + 0.08
    size = (width, bottom + height + TOP)
    same = all([row.name for row in scene.rows] == [row.name for row in scenes[0].rows] for scene in scenes)
    with rc_context(STYLE):
        figure = Figure(figsize=size)
        for i, panel in enumerate(panels):
            left = side + i * (PANEL + GAP)
            axes = figure.add_axes((left / size[0], bottom / size[1], PANEL / size[0], height / size[1]))
            draw_network(axes, panel.scene, labels=labels, numbers="none" if panel.scene.dense else "all")
            if i == 0 or not same:
                draw_row_names(axes, panel.scene, PANEL)
            figure.text(left / size[0], 1 - 0.1 / size[1], panel.name, fontsize=10, weight="bold", va="top",
                        parse_math=False)  # fmt: skip
            figure.text(left / size[0], 1 - 0.29 / size[1], panel.note, fontsize=6.5, color=MUTED, va="top",
                        parse_math=False)  # fmt: skip
        top = (len(entries) + len(notes)) * LINE + 4
        draw_entries(figure, entries, 72 * side, top)
        draw_lines(figure, notes, 72 * side, top - len(entries) * LINE)
    return figure
