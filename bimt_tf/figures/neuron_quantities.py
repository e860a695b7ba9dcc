"""Neurons of a layer against the quantities that they hold (paper, Section 3.1): a scatter each, a row a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, MUTED, POSITIVE, STYLE

__all__ = ["NeuronPanel", "NeuronRow", "neuron_quantities_figure"]

WIDE, TALL = 1.75, 1.5  # inches of a panel
MOST_POINTS = 400  # examples drawn


class NeuronPanel(NamedTuple):
    """One neuron: its name, ``activation`` [n] against ``quantity`` [n], the quantity's name, and a line of numbers."""

    name: str
    quantity_name: str
    quantity: Float[np.ndarray, " n"]
    activation: Float[np.ndarray, " n"]
    note: str


class NeuronRow(NamedTuple):
    """One network: what it is called, and its neurons."""

    name: str
    panels: Sequence[NeuronPanel]


def neuron_quantities_figure(rows: Sequence[NeuronRow], *, title: str | None = None) -> Figure:
    """A row of scatters for each network.

    Raises:
        InputError: if there is no neuron to draw.
    """
    most = max((len(row.panels) for row in rows), default=0)
    if not most:
        raise InputError("neuron_quantities_figure needs at least one neuron to draw")
    with rc_context(STYLE):
        side, head = 0.95, 0.4 if title else 0.1
        figure = Figure(figsize=(side + WIDE * most, head + TALL * len(rows)))
        wide, tall = figure.get_size_inches()
        for i, row in enumerate(rows):
            low = tall - head - TALL * (i + 1)
            figure.text(0.1 / wide, (low + TALL - 0.1) / tall, row.name, fontsize=8, weight="bold", va="top")
            for j, panel in enumerate(row.panels):
                left = side + WIDE * j
                box = ((left + 0.3) / wide, (low + 0.42) / tall, (WIDE - 0.45) / wide, (TALL - 0.74) / tall)
                axes = figure.add_axes(box)
                axes.scatter(panel.quantity[:MOST_POINTS], panel.activation[:MOST_POINTS], s=4, lw=0, alpha=0.6,
                             color=POSITIVE)  # fmt: skip
                axes.tick_params(labelsize=5.5, pad=1.5)
                axes.margins(0.05)
                axes.set_xlabel(panel.quantity_name, fontsize=7, labelpad=1.5)
                axes.text(0, 1.16, panel.name, transform=axes.transAxes, fontsize=7, color=INK, va="bottom")
                axes.text(0, 1.02, panel.note, transform=axes.transAxes, fontsize=6, color=MUTED, va="bottom")
        if title:
            figure.text(0.1 / wide, 1 - 0.08 / tall, title, fontsize=9, weight="bold", va="top")
    return figure
