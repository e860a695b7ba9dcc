"""Held-out loss, modularity and wiring length against active weights, a column a task, a colour a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, METHOD_COLOURS, METHOD_MARKERS, STYLE

__all__ = ["FrontierCurve", "FrontierPanel", "FrontierPoint", "frontier_figure"]

WIDTH, HEIGHT = 2.1, (2.3, 1.5, 1.5)  # inches of a column, and of the three rows
NARROWEST = 5.2  # inches, for the legend's sake
ROWS = (("held-out loss", 1), ("modularity Q", 2), ("wiring length", 3))  # label, and place in a point
WIDE = 300  # ratio of weights above which labels at 1 and 3 of every decade would run into each other
LEAST = 1e-12  # losses below are drawn here: a logarithmic axis has no 0


class FrontierPoint(NamedTuple):
    """One network: active weights, held-out loss, Q (NaN if there is none) and mean wiring length."""

    weights: int
    loss: float
    modularity: float
    wiring: float


class FrontierCurve(NamedTuple):
    """The networks of a method, a point a seed; ``paths``: (weights, loss) along each one's elimination."""

    method: str
    eliminated: bool
    points: Sequence[FrontierPoint]
    paths: Sequence[Sequence[tuple[int, float]]]


class FrontierPanel(NamedTuple):
    """A task's curves."""

    title: str
    curves: Sequence[FrontierCurve]


def frontier_figure(panels: Sequence[FrontierPanel]) -> Figure:
    """Draw a column a task: loss, Q and wiring length over active weights, on a logarithmic axis that they share.

    Small marks are seeds, large ones their medians: open as trained, filled after elimination. Thin lines are the
    eliminations' paths.

    Raises:
        InputError: for no panel, or one without a point.
    """
    if not panels or not all(panel.curves and all(curve.points for curve in panel.curves) for panel in panels):
        raise InputError("frontier_figure needs at least one panel, each with at least one curve of at least one point")
    with rc_context(STYLE):
        width = max(WIDTH * len(panels) + 0.4, NARROWEST)
        figure = Figure(figsize=(width, sum(HEIGHT) + 0.5), layout="constrained")
        grid = figure.subplots(3, len(panels), sharex="col", squeeze=False, height_ratios=HEIGHT)
        for number, (column, panel) in enumerate(zip(grid.T, panels, strict=True)):
            for axes, (label, place) in zip(column, ROWS, strict=True):
                for curve in panel.curves:
                    _draw(axes, curve, place)
                if number == 0:
                    axes.set_ylabel(label)
            column[0].set(yscale="log", xscale="log")
            column[0].set_title(panel.title)
            column[1].set_ylim(bottom=0)
            column[2].set_ylim(bottom=0)
            column[2].set_xlabel("active weights")
            low, high = column[2].get_xlim()
            column[2].xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < WIDE * low else (1,)))
            column[2].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            column[2].xaxis.set_minor_formatter(NullFormatter())
        methods = dict.fromkeys(curve.method for panel in panels for curve in panel.curves)
        handles = _legend(list(methods))
        columns = len(handles) if len(panels) > 2 else 4
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _draw(axes: Axes, curve: FrontierCurve, place: int) -> None:
    colour, marker = METHOD_COLOURS.get(curve.method, INK), METHOD_MARKERS.get(curve.method, "o")
    values = np.array(curve.points, dtype=float)
    values[:, 1] = values[:, 1].clip(LEAST)
    face = colour if curve.eliminated else "white"
    if place == 1:
        for path in curve.paths:
            weights, loss = np.array(path, dtype=float).T
            axes.plot(weights, loss.clip(LEAST), color=colour, lw=0.5, alpha=0.35, zorder=2)
    axes.scatter(values[:, 0], values[:, place], s=7, marker=marker, facecolor=face, edgecolor=colour, lw=0.5,
                 alpha=0.6, zorder=3)  # fmt: skip
    middle = np.median(values, axis=0)
    edge, width, order = (INK, 0.6, 5) if curve.eliminated else (colour, 1.2, 4)
    axes.scatter(middle[0], middle[place], s=42, marker=marker, facecolor=face, edgecolor=edge, lw=width, zorder=order)


def _legend(methods: Sequence[str]) -> list[Line2D]:
    marks = [
        Line2D([], [], ls="", ms=5, marker=METHOD_MARKERS.get(method, "o"), color=METHOD_COLOURS.get(method, INK),
               label=method)
        for method in methods
    ]  # fmt: skip
    states = [
        Line2D([], [], ls="", ms=5, marker="o", mfc=face, mec=INK, label=label)
        for face, label in (("white", "as trained"), (INK, "eliminated"))
    ]
    return [*marks, *states]
