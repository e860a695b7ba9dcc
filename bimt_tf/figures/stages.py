"""A classifier of the plane at several stages of its training: its network, and its decision boundary below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.group_order import DIVERGING
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.sheet import Sheet
from bimt_tf.figures.style import INK, MUTED, NEGATIVE, POSITIVE, STYLE
from bimt_tf.scene.scene import Scene

__all__ = ["Boundary", "Stage", "stages_figure"]

PANEL, GAP, EDGE = 1.55, 0.42, 0.45  # inches: width of a stage, between two, at the left
NETWORK, TOP = 1.75, 1.15
POINTS = 150  # examples at most that are drawn: more hide the boundary


class Boundary(NamedTuple):
    """The probability of the second class [rows, columns] on a grid at ``x`` [columns] and ``y`` [rows]."""

    x: Float[np.ndarray, " columns"]
    y: Float[np.ndarray, " rows"]
    probability: Float[np.ndarray, "rows columns"]


class Stage(NamedTuple):
    """``name`` of the stage, two lines of numbers, the network and its boundary."""

    name: str
    notes: tuple[str, str]
    scene: Scene
    boundary: Boundary


def stages_figure(
    stages: Sequence[Stage],
    points: Float[np.ndarray, "n 2"],
    classes: Int[np.ndarray, " n"],
    *,
    names: tuple[str, str],
    title: str,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw stages from left to right.

    Args:
        stages: at least one.
        points, classes: examples and their classes, 0 or 1; the first hundred and fifty are drawn.
        names: of the two classes.
        title: above all.
        labels: stage of the wiring -> a name for each of its neurons.

    Raises:
        InputError: for no stage.
    """
    if not stages:
        raise InputError("stages_figure needs at least one stage to draw")
    x, y = stages[0].boundary.x, stages[0].boundary.y
    tall = PANEL * float(np.ptp(y) / np.ptp(x))
    width = EDGE + len(stages) * PANEL + (len(stages) - 1) * GAP + 0.3
    with rc_context(STYLE):
        sheet = Sheet(width, TOP + NETWORK + 0.5 + tall + 0.75)
        sheet.text(0.12, 0.08, title, fontsize=10, weight="bold")
        for i, stage in enumerate(stages):
            left = EDGE + i * (PANEL + GAP)
            sheet.text(left, 0.36, stage.name, fontsize=8, weight="bold")
            for line, note in enumerate(stage.notes):
                sheet.text(left, 0.52 + 0.13 * line, note, fontsize=6, color=MUTED)
            draw_network(sheet.panel(left, TOP, PANEL, NETWORK), stage.scene, labels=labels)
            axes = sheet.panel(left, TOP + NETWORK + 0.5, PANEL, tall)
            _draw_boundary(axes, stage.boundary, points[:POINTS], classes[:POINTS], first=i == 0)
        _draw_key(sheet, EDGE, TOP + NETWORK + 0.5 + tall + 0.45, names)
        return sheet.figure


def _draw_boundary(
    axes: Axes, found: Boundary, points: Float[np.ndarray, "n 2"], classes: Int[np.ndarray, " n"], *, first: bool
) -> None:
    ends = (found.x[0], found.x[-1], found.y[0], found.y[-1])
    axes.imshow(found.probability, extent=ends, origin="lower", cmap=DIVERGING, vmin=-0.25, vmax=1.25, aspect="auto",
                interpolation="bilinear", zorder=1)  # fmt: skip
    if found.probability.min() < 0.5 < found.probability.max():
        axes.contour(found.x, found.y, found.probability, levels=[0.5], colors=[INK], linewidths=1.0, zorder=3)
    for number, (colour, mark) in enumerate(((NEGATIVE, "s"), (POSITIVE, "o"))):
        own = points[classes == number]
        axes.scatter(own[:, 0], own[:, 1], s=5, marker=mark, color=colour, edgecolors="white", lw=0.25, zorder=2)
    axes.set(xlim=ends[:2], ylim=ends[2:], xlabel="x1")
    axes.set_ylabel("x2" if first else "")
    if not first:
        axes.set_yticklabels([])


def _draw_key(sheet: Sheet, left: float, top: float, names: tuple[str, str]) -> None:
    lines = (
        f"Below: probability of {names[1]} (blue; its held-out examples are circles) against {names[0]} (orange, "
        "squares); on the line both are equally likely.",
        "Above: width of a wire is |w| beside the largest of its matrix, dashed is negative; open triangles have no "
        "input, crosses lead nowhere.",
    )
    for line, text in enumerate(lines):
        sheet.text(left, top + 0.13 * line, text, fontsize=6.5, color=MUTED)
