"""What a sweep's runs cost and give: test loss over active weights and over modularity, with the Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bimt_tf.analysis.pareto_front import pareto_front
from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, METHOD_MARKERS, MUTED, SEQUENTIAL, STYLE

__all__ = ["ParetoPoint", "drawable", "pareto_figure"]

SIZE = (7.2, 3.3)  # inches


class ParetoPoint(NamedTuple):
    """One run: its method, active weights, test loss, and modularity Q of the shared graph."""

    method: str
    active: int
    loss: float
    modularity: float


def drawable(point: ParetoPoint) -> bool:
    """Whether a point has a place on logarithmic axes."""
    return math.isfinite(point.loss) and point.loss > 0 and math.isfinite(point.modularity)


def pareto_figure(points: Sequence[ParetoPoint], *, title: str | None = None) -> Figure:
    """Two panels that share the loss: over active weights, and over Q; colour is Q, shape the method.

    The step line of each panel is its Pareto front: few weights and a low loss; a high Q and a low loss. Runs whose
    loss is not a finite number above 0 are left out, and counted.

    Raises:
        InputError: when no point can be drawn.
    """
    shown = [point for point in points if drawable(point)]
    if not shown:
        raise InputError(f"pareto_figure needs a run with a finite loss above 0, found none among {len(points)}")
    active, loss, q = (np.array([point[i] for point in shown], dtype=float) for i in (1, 2, 3))
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        low, high = (float(q.min()), float(q.max())) if np.ptp(q) > 0 else (float(q[0]) - 0.05, float(q[0]) + 0.05)
        for axes, x, wanted in ((left, active, active), (right, q, -q)):
            _draw_front(axes, x, loss, pareto_front(wanted, loss))
            for method in dict.fromkeys(point.method for point in shown):
                of = np.array([point.method == method for point in shown])
                dots = axes.scatter(x[of], loss[of], c=q[of], marker=METHOD_MARKERS.get(method, "D"), cmap=SEQUENTIAL,
                                    vmin=low, vmax=high, s=26, edgecolor=INK, lw=0.4, zorder=3)  # fmt: skip
        if active.min() > 0 and active.max() > 10 * active.min():
            left.set_xscale("log")
            _plain_ticks(left.xaxis)
        else:
            left.set_xlim(0, 1.05 * max(float(active.max()), 1.0))  # a mark at the edge is seen whole
            left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        left.set(yscale="log", xlabel="active weights", ylabel="test loss")
        _plain_ticks(left.yaxis)
        right.set_xlabel("modularity Q")
        left.set_title(title or "")
        if len(shown) < len(points):
            out = len(points) - len(shown)
            said = f"{out} run{'s' if out > 1 else ''} without a finite loss left out"
            right.set_title(said, fontsize=7, color=MUTED)
        figure.colorbar(dots, ax=right, label="modularity Q", pad=0.02)
        _legend(right, list(dict.fromkeys(point.method for point in shown)))
    return figure


def _draw_front(axes: Axes, x: np.ndarray, loss: np.ndarray, front: np.ndarray) -> None:
    """The front's points joined by steps: between two of them the loss is the one already reached."""
    (line,) = axes.step(x[front], loss[front], where="post", color=MUTED, lw=1.1, zorder=2)
    line.set_gid("front")


def _plain_ticks(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 of each decade, without powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(axes: Axes, methods: Sequence[str]) -> None:
    handles = [
        Line2D([], [], ls="", marker=METHOD_MARKERS.get(method, "D"), mfc="white", mec=INK, mew=0.7, ms=5, label=method)
        for method in methods
    ]
    handles.append(Line2D([], [], color=MUTED, lw=1.1, label="Pareto front"))
    axes.legend(handles=handles, loc="best")
