"""How few weights a loss takes as small ones are cut, a curve a method, a panel a task (paper, Figure A1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.analysis.pruning_frontier import least_losses
from bimt_tf.errors import InputError
from bimt_tf.figures.style import METHOD_COLOURS, METHOD_MARKERS, STYLE

__all__ = ["Curves", "pruning_curves_figure"]

Curves = Mapping[str, Sequence[Sequence[PrunePoint]]]
"""Method -> one list of points a seed, from ``prune``."""

PANEL = (3.7, 3.1)  # inches
COLUMNS = 3


def pruning_curves_figure(panels: Mapping[str, Curves]) -> Figure:
    """Draw the least held-out loss with at most so many active weights: a thin line a run, a thick one their median.

    A mark ends a method's line where its uncut networks are. A method whose line would cover another's (l1-swap's
    networks are l1's, placed) is dashed.

    Args:
        panels: title -> the curves below it.

    Raises:
        InputError: for no panel, or one without a curve or a point.
    """
    if not panels or not all(
        curves and all(runs and all(runs) for runs in curves.values()) for curves in panels.values()
    ):
        raise InputError("pruning_curves_figure needs at least one curve a method, each with at least one point")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (title, curves) in zip(grid, panels.items(), strict=False):
            _draw(axes, curves)
            axes.set_title(title)
        grid[0].legend(title="median of seeds", title_fontsize=7)
        for axes in grid[len(panels) :]:
            axes.remove()
    return figure


def _draw(axes: Axes, curves: Curves) -> None:
    most = max(point.active_weights for runs in curves.values() for points in runs for point in points)
    counts = np.arange(1, max(most, 2) + 1)
    drawn: list[np.ndarray] = []
    for number, (method, runs) in enumerate(curves.items()):
        colour = METHOD_COLOURS.get(method, f"C{number}")
        losses = np.array([least_losses(points, counts.tolist()) for points in runs])
        ends = [max(point.active_weights for point in points) for points in runs]
        for line, end in zip(losses, ends, strict=True):
            axes.plot(counts[:end], line[:end], color=colour, lw=0.5, alpha=0.4, drawstyle="steps-post", zorder=2)
        end = max(int(np.median(ends)), 1)
        middle = np.median(losses, axis=0)
        covers = any(np.array_equal(middle, other) for other in drawn)
        axes.plot(
            counts[:end], middle[:end], color=colour, lw=1.8, ls=(0, (2, 2)) if covers else "-", label=method,
            drawstyle="steps-post", marker=METHOD_MARKERS.get(method, "o"), markevery=[end - 1], ms=4, zorder=4,
        )  # fmt: skip
        drawn.append(middle)
    axes.set(xscale="log", yscale="log", xlabel="active weights, at most", ylabel="least held-out loss")
