"""Networks with what their hidden neurons compute (paper, Figure 3): a drawing, a table of fits, and a formula each.

The table has a row for each hidden neuron and a column for each quantity of the inputs; a cell is the share of the
neuron's variance over the examples that a function of that quantity alone explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from bimt_tf.errors import InputError
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.sheet import Sheet
from bimt_tf.figures.style import INK, MUTED, STYLE
from bimt_tf.scene.scene import Scene

__all__ = ["NeuronPanel", "neuron_functions_figure"]

PANEL, GAP, EDGE = 2.55, 0.75, 0.62  # inches: width of a network, between two, at the left
NETWORK, CELL, LINE = 2.1, 0.15, 0.125  # heights: of a network, of a table's row, of a formula's line
HEAD, NAMES = 0.85, 0.5  # above a network, and above its table for the names of quantities
MOST_ROWS = 24  # neurons in a table


class NeuronPanel(NamedTuple):
    """One network.

    ``name`` and ``note``: above it; ``neurons``: names of the rows; ``quantities``: names of the columns; ``explained``
    [neurons, quantities] from 0 to 1; ``formula``: lines below.
    """

    name: str
    note: str
    scene: Scene
    labels: Mapping[str, Sequence[str]]
    neurons: Sequence[str]
    quantities: Sequence[str]
    explained: Float[ndarray, "neurons quantities"]
    formula: Sequence[str]


def neuron_functions_figure(panels: Sequence[Sequence[NeuronPanel]], *, title: str) -> Figure:
    """Draw rows of networks.

    Args:
        panels: rows, each of at least one network.
        title: above all.

    Raises:
        InputError: for no row, or one without networks.
    """
    if not panels or not all(panels):
        raise InputError("neuron_functions_figure needs at least one network in each row")
    columns = max(map(len, panels))
    heights = [HEAD + NETWORK + max(map(_below, row)) + 0.3 for row in panels]
    with rc_context(STYLE):
        sheet = Sheet(EDGE + columns * PANEL + (columns - 1) * GAP + 0.35, 0.3 + sum(heights))
        sheet.text(0.12, 0.08, title, fontsize=10, weight="bold")
        for i, row in enumerate(panels):
            for j, panel in enumerate(row):
                _draw(sheet, panel, EDGE + j * (PANEL + GAP), 0.3 + sum(heights[:i]))
        return sheet.figure


def _below(panel: NeuronPanel) -> float:
    rows = min(len(panel.neurons), MOST_ROWS)
    return (NAMES + 0.25 + CELL * rows if rows else 0.3) + 0.15 + LINE * len(panel.formula)


def _draw(sheet: Sheet, panel: NeuronPanel, left: float, top: float) -> None:
    sheet.text(left - 0.4, top + 0.08, panel.name, fontsize=8.5, weight="bold")
    sheet.text(left - 0.4, top + 0.24, panel.note, fontsize=6.5, color=MUTED)
    axes = sheet.panel(left - 0.15, top + HEAD, PANEL, NETWORK)
    draw_network(axes, panel.scene, labels=panel.labels, numbers="unnamed")
    rows = min(len(panel.neurons), MOST_ROWS)
    below = top + HEAD + NETWORK + 0.3
    if rows:
        _draw_table(sheet.panel(left, below + NAMES - 0.05, PANEL - 0.3, CELL * rows), panel, rows)
        below += NAMES + CELL * rows
    for number, line in enumerate(panel.formula):
        sheet.text(left - 0.4, below + 0.1 + LINE * number, line, fontsize=6, family="DejaVu Sans Mono")


def _draw_table(axes: Axes, panel: NeuronPanel, rows: int) -> None:
    shown = panel.explained[:rows]
    axes.imshow(shown, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for i, line in enumerate(shown):
        for j, value in enumerate(line):
            best = value == max(line)
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=5.5,
                      color="white" if value > 0.85 else INK, weight="bold" if best else "normal")  # fmt: skip
    axes.set_yticks(range(rows), panel.neurons[:rows], fontsize=6)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(panel.quantities)), panel.quantities, fontsize=6, rotation=35, ha="left")
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
