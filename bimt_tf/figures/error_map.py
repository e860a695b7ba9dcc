"""Where in-context regression errs (paper, Appendix F.2), over the solved example x1 and the query x."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from bimt_tf.figures.style import MUTED, NEGATIVE, POSITIVE, SEQUENTIAL, STYLE

__all__ = ["ErrorMap", "error_map_figure"]

LEAST = 1e-6  # of an error that is drawn


class ErrorMap(NamedTuple):
    """Errors on a grid of ``x1`` [a] and ``x`` [b], and the w that the output implies.

    ``errors`` [a, b]: root mean square over w. ``along`` [a]: the same over x too; ``guess`` [a]: of a network that
    always takes the mean w. ``w`` [c]: some true ones; ``used`` [c, a]: output / x at the largest x, which should be w.
    """

    x1: Float[np.ndarray, " a"]
    x: Float[np.ndarray, " b"]
    errors: Float[np.ndarray, "a b"]
    along: Float[np.ndarray, " a"]
    guess: Float[np.ndarray, " a"]
    w: Float[np.ndarray, " c"]
    used: Float[np.ndarray, "c a"]


def error_map_figure(found: ErrorMap, *, title: str | None = None) -> Figure:
    """Left: the map. Middle: the error against x1, beside always taking the mean w. Right: the w that is used."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9.0, 2.9), layout="constrained")
        map_axes, along, used = figure.subplots(1, 3)
        errors = np.maximum(found.errors, LEAST)
        image = map_axes.pcolormesh(found.x1, found.x, errors.T, norm=LogNorm(errors.min(), errors.max()),
                                    cmap=SEQUENTIAL, shading="nearest", rasterized=True)  # fmt: skip
        map_axes.set(xlabel="x₁", ylabel="x", title="root mean square error over w")
        bar = figure.colorbar(image, ax=map_axes, pad=0.02, aspect=24)
        bar.outline.set_visible(False)
        along.plot(found.x1, np.maximum(found.along, LEAST), color=POSITIVE, label="network")
        along.plot(found.x1, found.guess, color=MUTED, ls="--", label="always the mean w")
        along.set(yscale="log", xlabel="x₁", title="error against x₁")
        along.set_ylim(top=4 * max(float(found.along.max()), float(found.guess.max())))
        along.legend(loc="upper right", ncols=2)
        for number, (w, line) in enumerate(zip(found.w, found.used, strict=True)):
            used.axhline(w, color=MUTED, lw=0.6, ls=":", zorder=0, label="true w" if number == 0 else None)
            used.plot(found.x1, line, color=NEGATIVE, lw=1.1, label="w used" if number == 0 else None)
        spread = float(found.w.max() - found.w.min())
        used.set_ylim(float(found.w.min()) - spread / 2, float(found.w.max()) + spread / 2)
        used.set(xlabel="x₁", title="the w that the output implies")
        used.legend(loc="lower left", ncols=2)
        if title:
            figure.suptitle(title, fontsize=9, weight="bold", x=0.01, ha="left")
    return figure
