"""How alike networks stay as noise on their initial weights grows (paper, Figure A5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import ACCENT, MUTED, NEGATIVE, POSITIVE, STYLE

__all__ = ["NoisePoint", "NoiseSeries", "noise_figure"]


class NoisePoint(NamedTuple):
    """One network beside the one without noise; ``noise`` is None for another seed, ``chance`` where none is drawn."""

    noise: float | None
    alike: float
    edges: float
    chance: float | None


class NoiseSeries(NamedTuple):
    """The networks of one seed."""

    name: str
    points: Sequence[NoisePoint]


def noise_figure(series: Sequence[NoiseSeries], *, title: str | None = None) -> Figure:
    """Neurons that are alike and edges that are shared against the noise; other seeds stand at the right.

    Raises:
        InputError: if there is no network with noise.
    """
    noises = sorted({point.noise for one in series for point in one.points if point.noise})
    if not noises:
        raise InputError("noise_figure needs at least one network that began with noise")
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.9), layout="constrained")
        axes: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
        for panel, kind, colour in zip(axes, ("alike", "edges"), (POSITIVE, ACCENT), strict=True):
            for one in series:
                _draw(panel, one, kind, colour, noises)
            panel.set_title({"alike": "neurons alike", "edges": "edges shared"}[kind])
            panel.set_xlabel("noise on the initial weights, of their size")
            panel.set_ylim(-0.02, 1.04)
        axes[0].set_ylabel("beside the network without noise")
        axes[1].legend(loc="lower left")
        if title:
            figure.suptitle(title, fontsize=10, weight="bold", x=0.01, ha="left")
    return figure


def _draw(panel: Axes, series: NoiseSeries, kind: str, colour: str, noises: Sequence[float]) -> None:
    with_noise = [point for point in series.points if point.noise]
    at = np.array([point.noise for point in with_noise], dtype=float)
    values = np.array([getattr(point, kind) for point in with_noise])
    means = [float(values[at == noise].mean()) for noise in noises if (at == noise).any()]
    there = [noise for noise in noises if (at == noise).any()]
    panel.scatter(at, values, s=12, color=colour, alpha=0.5, lw=0, zorder=3, clip_on=False)
    panel.plot(there, means, color=colour, zorder=2, label="mean over draws")
    if kind == "edges":
        chance = np.array([point.chance for point in with_noise], dtype=float)
        panel.plot(there, [float(chance[at == noise].mean()) for noise in there], color=MUTED, ls=":", zorder=1,
                   label="rewired networks")  # fmt: skip
    others = [getattr(point, kind) for point in series.points if point.noise is None]
    right = noises[-1] * 8
    panel.scatter([right] * len(others), others, s=14, marker="D", color=NEGATIVE, lw=0, zorder=3, clip_on=False,
                  label="other seeds" if others else None)  # fmt: skip
    panel.set_xscale("log")
    panel.set_xticks([*noises[::2], right] if others else noises[::2])
    panel.set_xticklabels([*(f"{noise:g}" for noise in noises[::2]), "other\nseed"] if others else
                          [f"{noise:g}" for noise in noises[::2]])  # fmt: skip
    panel.minorticks_off()
