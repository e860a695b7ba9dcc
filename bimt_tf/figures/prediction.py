"""Predicted against true values, and how the errors are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, MUTED, POSITIVE, STYLE, vector

__all__ = ["prediction_figure"]

SIZE = (6.0, 3.1)  # inches
MANY_POINTS = 5000  # beyond which a PDF holds them as an image
BINS = 41


def prediction_figure(true: Any, predicted: Any, *, name: str = "y", r2: float | None = None) -> Figure:
    """A scatter of ``predicted`` over ``true`` with the diagonal, and a histogram of the errors beside it.

    Args:
        true: tensor, array or list of n numbers.
        predicted: as many numbers, in the same order.
        name: of the quantity, for the axes.
        r2: coefficient of determination, for the title.

    Raises:
        InputError: when the two differ in length, are empty or hold NaN or infinity.
    """
    true, predicted = vector("true", true), vector("predicted", predicted)
    if true.size != predicted.size:
        raise InputError(f"true and predicted must be equally many, found {true.size} and {predicted.size}")
    errors = predicted - true
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    pad = 0.05 * (high - low) or 0.5
    ends = (low - pad, high + pad)
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        scatter, histogram = figure.subplots(1, 2, width_ratios=(1.15, 1))
        scatter.plot(ends, ends, color=MUTED, lw=0.8, ls=(0, (4, 2)), zorder=1)
        scatter.scatter(true, predicted, s=7, color=POSITIVE, alpha=float(np.clip(60 / true.size**0.6, 0.15, 0.8)),
                        lw=0, zorder=2, rasterized=true.size > MANY_POINTS)  # fmt: skip
        scatter.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"true {name}", ylabel=f"predicted {name}")
        scatter.set_title(f"{true.size:,} samples" if r2 is None else f"$R^2$ = {r2:.4f}, {true.size:,} samples")
        reach = float(np.abs(errors).max()) or 1.0
        histogram.hist(errors, bins=BINS, range=(-reach, reach), color=POSITIVE, alpha=0.85, lw=0)
        histogram.axvline(0, color=INK, lw=0.7)
        histogram.set(xlabel=f"error (predicted − true {name})", ylabel="samples", xlim=(-reach, reach))
        histogram.set_title(f"RMSE {np.sqrt(np.mean(errors**2)):.2e}")
    return figure
