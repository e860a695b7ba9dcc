"""The path of an elimination: losses against the weights that are left, and modularity under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from bimt_tf.errors import InputError
from bimt_tf.figures.style import ACCENT, INK, MUTED, NEGATIVE, POSITIVE, STYLE

__all__ = ["elimination_figure"]

LOSSES = (
    ("loss", "fitted", MUTED, "o"),
    ("validation_loss", "validation", ACCENT, "^"),
    ("test_loss", "held out", POSITIVE, "s"),
)
"""Key of a round, its name in the legend, colour and marker."""


def elimination_figure(
    rows: Sequence[Mapping[str, Any]],
    *,
    max_loss: float | None = None,
    shown: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw each point of an elimination's path, from the trained network on the left to the fewest weights.

    Args:
        rows: one mapping a round, the trained network first, as ``FinishedRun.elimination`` gives them.
        max_loss: the budget, drawn as a line.
        shown: the round that is shown of the run, whose weights are marked.
        title: over the figure.

    Raises:
        InputError: for a path without points.
    """
    if not rows:
        raise InputError("an elimination's figure needs at least one round: this run has none")
    left = np.array([row["weights"] for row in rows])
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8, 4.2), layout="constrained")
        top, bottom = figure.subplots(2, sharex=True, height_ratios=(2, 1))
        for key, label, colour, marker in LOSSES:
            values = np.array([row.get(key) if row.get(key) is not None else np.nan for row in rows], dtype=float)
            if not np.isnan(values).all():
                top.plot(left, values, color=colour, marker=marker, ms=2.8, lw=1.1, label=label)
                top.plot(left[:1], values[:1], color=colour, marker=marker, ms=4.5, mfc="white", ls="", zorder=4)
        if max_loss is not None and np.isfinite(max_loss):
            top.axhline(max_loss, color=NEGATIVE, lw=0.8, ls=(0, (4, 3)))
            top.annotate("budget", (1, max_loss), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                         fontsize=6.5, color=NEGATIVE)  # fmt: skip
        top.set(yscale="log", ylabel="loss")
        top.set_title(title or "")
        top.legend(loc="best", title="open: as trained", title_fontsize=6.5)
        q = np.array([row.get("modularity_shared") or np.nan for row in rows], dtype=float)
        bottom.plot(left, q, color=INK, marker="o", ms=2.8, lw=1.1)
        bottom.plot(left[:1], q[:1], color=INK, marker="o", ms=4.5, mfc="white", ls="", zorder=4)
        bottom.set(xscale="log", xlabel="active weights left", ylabel="modularity Q")
        bottom.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bottom.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        bottom.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        if shown is not None and 0 <= shown < len(rows):
            for axes in (top, bottom):
                axes.axvline(left[shown], color=MUTED, lw=0.7, ls=(0, (1, 2)), zorder=1)
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "xytext": (-3, 0)}
            words = f"shown: {left[shown]:,}"
            bottom.annotate(words, (left[shown], 0.03), ha="right", fontsize=6.5, color=MUTED, **where)
        if left.max() > left.min():
            bottom.set_xlim(1.08 * left.max(), 0.92 * left.min())
    return figure
