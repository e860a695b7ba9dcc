"""The sizes of a network's weights against their rank: a panel a matrix, a curve a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import METHOD_COLOURS, METHOD_MARKERS, MUTED, STYLE

__all__ = ["Sizes", "weight_ranks_figure"]

FLOOR = 1e-8  # a weight below it is drawn as none


class Sizes(NamedTuple):
    """The sizes of all weights of one matrix, in any order; ``threshold``: above which size they are active."""

    matrix: str
    sizes: Float[np.ndarray, " n"]
    threshold: float


def weight_ranks_figure(curves: Mapping[str, Sequence[Sequence[Sizes]]], *, title: str | None = None) -> Figure:
    """Each matrix's weights in order of size, both axes logarithmic.

    Args:
        curves: method -> for each network by it (a seed), the matrices from the input up; the same ones everywhere.
        title: above the figure.

    Raises:
        InputError: for no network, or networks of other matrices.
    """
    networks = [network for group in curves.values() for network in group]
    if not networks:
        raise InputError("weight_ranks_figure needs at least one network")
    names = [one.matrix for one in networks[0]]
    if any([one.matrix for one in network] != names for network in networks):
        raise InputError("the networks of weight_ranks_figure must have the same matrices")
    with rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 2.1 * len(names), 2.9), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
            for method, group in curves.items():
                for number, network in enumerate(group):
                    own = network[place]
                    sizes = np.sort(own.sizes)[::-1]
                    sizes = sizes[sizes > FLOOR]
                    ranks = np.arange(1, len(sizes) + 1)
                    axes.plot(ranks, sizes, color=METHOD_COLOURS[method], lw=1.1, alpha=1 if number == 0 else 0.45,
                              label=method if number == 0 else None)  # fmt: skip
                    last = int((sizes > own.threshold).sum())
                    if last:
                        axes.plot(last, sizes[last - 1], METHOD_MARKERS[method], color=METHOD_COLOURS[method], ms=4,
                                  mec="white", mew=0.5, zorder=3)  # fmt: skip
            axes.axhline(networks[0][place].threshold, color=MUTED, lw=0.6, ls=":")
            axes.set(xscale="log", yscale="log", xlabel="rank", title=f"{name} ({networks[0][place].sizes.size:,})")
        panels[0].set_ylabel("|w|")
        panels[0].set_ylim(bottom=_least(networks) / 3)
        panels[0].legend(loc="lower left")
        panels[-1].text(0.98, 0.98, "marks: the last active weight", transform=panels[-1].transAxes, fontsize=6,
                        color=MUTED, ha="right", va="top")  # fmt: skip
        if title:
            figure.suptitle(title, fontsize=9, weight="bold", x=0.01, ha="left")
    return figure


def _least(networks: Sequence[Sequence[Sizes]]) -> float:
    """The smallest size that is drawn."""
    drawn = [one.sizes[one.sizes > FLOOR] for network in networks for one in network]
    return float(min((sizes.min() for sizes in drawn if sizes.size), default=FLOOR))
