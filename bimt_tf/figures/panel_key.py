"""The key of several networks beside each other (comparison.py, aligned.py), and the names of their rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bimt_tf.figures.network_key import Entry
from bimt_tf.figures.network_neurons import MARKS
from bimt_tf.figures.network_page import measure
from bimt_tf.figures.network_wires import DASHED, DOTTED
from bimt_tf.figures.style import INK, MUTED, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.scene.scene import IDLE, STATES, Scene

__all__ = ["ROW_NAME", "draw_row_names", "marks_of", "row_names", "room_of_names"]

ROW_NAME = 6.5  # font size


def marks_of(scenes: Sequence[Scene]) -> list[Entry]:
    """What the wires and marks of these scenes mean; only what occurs in one of them."""
    found = [
        Entry({"color": WIRE_POSITIVE, "lw": 1.6}, "positive"),
        Entry({"color": WIRE_NEGATIVE, "lw": 1.6, "ls": DASHED}, "negative"),
    ]
    if any(scene.off_path for scene in scenes):
        found.append(Entry({"color": MUTED, "lw": 0.9, "ls": DOTTED}, "on no path from input to output"))
    present = {int(state) for scene in scenes for states in scene.states for state in np.unique(states)}
    for state, (marker, style) in MARKS.items():
        if state in present:
            face, edge = style.get("facecolor", style.get("color")), style.get("edgecolor", style.get("color"))
            mark = {"ls": "", "marker": marker, "ms": 2.0 if state == IDLE else 4.0, "mfc": face, "mec": edge}
            found.append(Entry(mark | {"mew": 0.6}, STATES[state] if state != IDLE else f"neuron {STATES[IDLE]}"))
    if any(scene.biases for scene in scenes):
        bar = {"ls": "", "marker": "|", "ms": 5, "color": WIRE_POSITIVE, "mew": 1.3}
        found.append(Entry(bar, "bias (up: positive)"))
    if any(scene.links for scene in scenes):
        found.append(Entry({"color": MUTED, "lw": 0.7, "ls": (0, (1, 2.5))}, "same neuron"))
    if any(scene.dense for scene in scenes):
        found.append(Entry({"ls": "", "marker": "s", "ms": 5, "mfc": MUTED, "mec": "none", "alpha": 0.4},
                           "shading: |w| of all wires; lines: the strongest"))  # fmt: skip
    return found


def row_names(scene: Scene) -> list[str]:
    """A name for each row, of which the block is a part."""
    return [row.title for row in scene.rows]


def room_of_names(scenes: Sequence[Scene]) -> float:
    """Inches that the names of rows need."""
    return max(measure(name, ROW_NAME)[0] for scene in scenes for name in row_names(scene)) / 72


def draw_row_names(axes: Axes, scene: Scene, width: float) -> None:
    """The names of the rows at the left of a panel ``width`` inches wide."""
    for name, row in zip(row_names(scene), scene.rows, strict=True):
        axes.text(-0.12 / width, row.y, name, ha="right", va="center", fontsize=ROW_NAME, parse_math=False, color=INK,
                  gid="row name")  # fmt: skip
