"""Rings of a cyclic group: each module's plane, and its neurons along the ring (paper, Section 3.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.analysis.group_rings import Ring
from bimt_tf.figures.style import INK, METHOD_COLOURS, MUTED, NEGATIVE, PALE, POSITIVE, STYLE

__all__ = ["draw_ring", "draw_waves", "group_rings_figure"]

LINES = (POSITIVE, NEGATIVE, METHOD_COLOURS["topk"], METHOD_COLOURS["l1"], METHOD_COLOURS["l1-local"])
MARKS = ("o", "s", "^", "D", "v")
NAMED = 20  # elements whose names are written
CIRCULAR = "twilight_shifted"  # begins and ends alike, and differs in lightness


def group_rings_figure(report: GroupReport) -> Figure:
    """One column a module: above the elements in the module's plane, below each neuron's value along the ring.

    Elements are joined in the order of k a mod n, for the module's frequency k; a ring is right where that line does
    not cross itself. A pure frequency is a cosine below.
    """
    count = len(report.rings)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.5 * count + 0.3, 4.4), layout="constrained")
        axes = figure.subplots(2, count, squeeze=False, gridspec_kw={"height_ratios": [1.5, 1]})
        for column, ring in enumerate(report.rings):
            draw_ring(axes[0, column], report, ring)
            draw_waves(axes[1, column], report, ring, first=column == 0)
    return figure


def _turned(report: GroupReport, ring: Ring) -> np.ndarray[Any, Any]:
    """How far around the ring each element is, in steps of one nth of a turn."""
    return np.asarray((ring.frequency * report.group.logarithms) % len(report.group))


def draw_ring(axes: Any, report: GroupReport, ring: Ring) -> None:
    """Draw the elements in a module's plane, joined in the order of its frequency; inside ``rc_context(STYLE)``."""
    turned = _turned(report, ring)
    axes.set_title(f"Frequency {ring.frequency}: $R^2$ = {ring.r2:.3f}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if ring.plane is None:
        axes.text(0.5, 0.5, "one neuron has no plane", transform=axes.transAxes, ha="center", color=MUTED)
        return
    plane = np.asarray(ring.plane)
    plane = plane / plane.std(0)  # an ellipse as a circle, as the order is read
    around = np.argsort(turned)
    closed = plane[[*around, around[0]]]
    axes.plot(closed[:, 0], closed[:, 1], color=PALE, lw=0.8, zorder=1)
    axes.scatter(plane[:, 0], plane[:, 1], c=turned, cmap=CIRCULAR, s=16, lw=0.3, edgecolors=INK, zorder=2)
    step = -(-len(turned) // NAMED)
    axes.margins(0.14)
    for element in around[::step]:
        x, y = plane[element] * 1.15
        axes.text(x, y, report.group.names[element], fontsize=5.5, ha="center", va="center", color=INK)
    axes.set_xlabel(f"neighbours differ by {ring.step} ({ring.in_order:.0%})")


def draw_waves(axes: Any, report: GroupReport, ring: Ring, *, first: bool) -> None:
    """Draw each neuron of a module along its ring; the ``first`` of a row names its axis."""
    turned = _turned(report, ring)
    values, around = np.asarray(report.embedding), np.argsort(turned)
    for line, neuron in enumerate(ring.neurons):
        column = values[:, report.neurons.index(neuron)]
        colour, mark = LINES[line % len(LINES)], MARKS[line % len(MARKS)]
        axes.plot(turned[around], column[around], color=colour, marker=mark, ms=2.2, lw=0.9, label=str(neuron))
    axes.set_xlabel(f"{ring.frequency} a mod {len(report.group)}")
    if first:
        axes.set_ylabel("value of the neuron")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.24 * (high - low))
    axes.legend(ncols=min(len(ring.neurons), 4), loc="upper center", handlelength=1.2, columnspacing=0.8)
