"""Active weights left against loss as small weights are cut, one curve a method (paper, Figure A1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.errors import InputError
from bimt_tf.figures.style import METHOD_COLOURS, MUTED, STYLE

__all__ = ["pruning_curves_figure"]


def pruning_curves_figure(curves: Mapping[str, Sequence[Sequence[PrunePoint]]], *, title: str | None = None) -> Figure:
    """Draw test loss against active weights: a thin line a run, a thick one through the median run of each method.

    Points whose cut leaves no path from input to output are open circles. A method whose line would cover another's
    (l1-swap's networks are l1's, placed) is dashed.

    Args:
        curves: method -> one list of points a seed, from ``prune``, thresholds the same in all of a method's.

    Raises:
        InputError: for no curve.
    """
    if not curves or not all(runs and all(runs) for runs in curves.values()):
        raise InputError("pruning_curves_figure needs at least one curve a method, each with at least one point")
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.3), layout="constrained")
        axes = figure.add_subplot()
        drawn: list[np.ndarray] = []
        for number, (method, runs) in enumerate(curves.items()):
            colour = METHOD_COLOURS.get(method, f"C{number}")
            for points in runs:
                left, loss = _xy(points)
                axes.plot(left, loss, color=colour, lw=0.5, alpha=0.35, zorder=2)
                cut = [point.severed for point in points]
                axes.scatter(left[cut], loss[cut], s=9, facecolor="white", edgecolor=colour, lw=0.6, zorder=3)
            middle = np.median([_xy(points) for points in runs], axis=0)
            covers = any(np.array_equal(middle, other) for other in drawn)
            axes.plot(*middle, color=colour, lw=1.8, ls=(0, (2, 2)) if covers else "-", label=method, zorder=4)
            drawn.append(middle)
        fewest = min(point.active_weights for runs in curves.values() for points in runs for point in points)
        axes.set(yscale="log", xlabel="active weights", ylabel="test loss")
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(left=0.8 * fewest)
        axes.set_title(title or "")
        axes.legend(title="median of seeds", title_fontsize=7)
        axes.text(1, 1.01, "open circles: no path from input to output", transform=axes.transAxes, ha="right",
                  va="bottom", fontsize=6, color=MUTED)  # fmt: skip
    return figure


def _xy(points: Sequence[PrunePoint]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([point.active_weights for point in points]), np.array([point.loss for point in points])
