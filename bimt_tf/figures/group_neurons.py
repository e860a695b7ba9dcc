"""The active embedding neurons as a matrix over the elements, which stand in the order of their cosets."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.figures.group_order import DIVERGING, deviations, element_order, neuron_order
from bimt_tf.figures.style import INK, STYLE

__all__ = ["draw_neurons", "group_neurons_figure"]


def group_neurons_figure(report: GroupReport) -> Figure:
    """Neurons down, elements across: :func:`draw_neurons` with its colour bar."""
    n, rows = len(report.group), len(report.neurons)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.9 + 0.19 * min(n, 40), 1.25 + 0.2 * rows), layout="constrained")
        axes = figure.subplots()
        image = draw_neurons(axes, report)
        axes.set_title("Active embedding neurons; elements by coset")
        bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=18, pad=0.02, ticks=[-1, 0, 1])
        bar.set_label("value less its mean,\nin units of its largest")
        bar.outline.set_visible(False)
    return figure


def draw_neurons(axes: Any, report: GroupReport) -> Any:
    """Draw the neurons into a panel, inside ``rc_context(STYLE)``; returns the image, for a colour bar.

    Each row is in units of its own largest deviation from its mean. Lines part the cosets of normal subgroups, the
    heaviest those of the largest; beside each neuron stand its representation and the share of its variance in it.
    """
    order, ends = element_order(report.group)
    rows = neuron_order(report)
    n, spectrum = len(order), report.spectrum.neurons
    image = axes.imshow(deviations(report)[order][:, rows].T, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
    axes.set_yticks(range(len(rows)), [str(report.neurons[j]) for j in rows])
    shown = np.arange(0, n, -(-n // 40))
    axes.set_xticks(shown, [report.group.names[order[i]] for i in shown], rotation=90, fontsize=6)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [f"{spectrum[j].best}  {spectrum[j].share:.2f}" for j in rows])
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    for level, places in enumerate(ends):
        for place in places:
            axes.axvline(place - 0.5, color=INK, lw=max(1.6 - 0.9 * level, 0.3))
    module = {neuron: i for i, one in enumerate(report.modules) for neuron in one}
    parted = np.diff([module.get(report.neurons[j], -1) for j in rows])
    for place in np.flatnonzero(parted):
        axes.axhline(place + 0.5, color="white", lw=1.5)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="element", ylabel="embedding neuron, by module")
    return image
