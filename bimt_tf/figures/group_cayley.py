"""The Cayley graph of a group, coloured by each embedding neuron (paper, Figure A6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bimt_tf.analysis.cayley import cayley_graph, cayley_places
from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.figures.group_order import DIVERGING, deviations, neuron_order
from bimt_tf.figures.style import INK, MUTED, PALE, STYLE

__all__ = ["group_cayley_figure"]

COLUMNS = 5
PANEL = 1.75  # inches
MARK = 60.0  # points squared of a small graph's nodes
DASHES = ("solid", (0, (3, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
NAMED = 30  # elements at most whose names are all written
MARKED = 15  # names that are written of more


def group_cayley_figure(report: GroupReport) -> Figure:
    """The graph with the elements' names, twice as large as the panels that follow, one a neuron.

    Edges by generator are solid, dashed, dotted.

    Values are less their mean, in units of the neuron's largest deviation.
    """
    graph = cayley_graph(report.group)
    places = cayley_places(graph)
    columns = min(COLUMNS, 2 + -(-len(report.neurons) // 2))
    rows = 2 + max(0, -(-(len(report.neurons) - 2 * (columns - 2)) // columns))
    free = [(row, column) for row in range(rows) for column in range(columns) if row > 1 or column > 1]
    values = deviations(report)
    with rc_context(STYLE):
        figure = Figure(figsize=(PANEL * columns + 0.6, (PANEL + 0.28) * rows), layout="constrained")
        grid = figure.add_gridspec(rows, columns)
        panels = [figure.add_subplot(grid[:2, :2])]
        panels += [figure.add_subplot(grid[place]) for place in free[: len(report.neurons)]]
        for axes in panels:
            axes.set(xticks=[], yticks=[], aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15))
            axes.spines[:].set_visible(False)
        _names(panels[0], report, graph, places)
        for axes, column in zip(panels[1:], neuron_order(report), strict=True):
            _neuron(axes, report, graph, places, column, values[:, column])
        bar = figure.colorbar(
            ScalarMappable(Normalize(-1, 1), DIVERGING), ax=panels, shrink=0.5, aspect=24, ticks=[-1, 0, 1]
        )
        bar.set_label("value less its mean, in units of its largest")
        bar.outline.set_visible(False)
    return figure


def _names(axes: Any, report: GroupReport, graph: nx.DiGraph, places: Mapping[int, tuple[float, float]]) -> None:
    chosen = _edges(axes, graph, places, MUTED)
    if len(places) <= NAMED:
        for element, (x, y) in places.items():
            axes.text(
                x, y, report.group.names[element], fontsize=6, ha="center", va="center", color=INK,
                bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
            )  # fmt: skip
    else:
        axes.scatter(*np.array(list(places.values())).T, s=4, color=INK, zorder=2)
        for element, (x, y) in list(places.items())[:: -(-len(places) // MARKED)]:
            axes.text(0.86 * x, 0.86 * y, report.group.names[element], fontsize=6, ha="center", va="center")
    words = ", ".join(report.group.names[s] for s in chosen)
    axes.set_title(f"a to a s, s = {words}", fontsize=6)


def _neuron(
    axes: Any,
    report: GroupReport,
    graph: nx.DiGraph,
    places: Mapping[int, tuple[float, float]],
    column: int,
    values: np.ndarray[Any, Any],
) -> None:
    _edges(axes, graph, places, PALE)
    where = np.array([places[element] for element in range(len(places))])
    axes.scatter(
        where[:, 0], where[:, 1], c=values, cmap=DIVERGING, vmin=-1, vmax=1, lw=0.5, edgecolors=MUTED, zorder=2,
        s=min(MARK, 1400 / len(places)),
    )  # fmt: skip
    one = report.spectrum.neurons[column]
    axes.set_title(f"neuron {one.neuron}: {one.best} {one.share:.2f}", fontsize=6.5)


def _edges(axes: Any, graph: nx.DiGraph, places: Mapping[int, tuple[float, float]], colour: str) -> list[int]:
    """Draw the edges by generator; returns the generators."""
    chosen: list[int] = list(dict.fromkeys(s for _, _, s in graph.edges(data="generator")))
    for row, generator in enumerate(chosen):
        lines = {frozenset((u, v)) for u, v, s in graph.edges(data="generator") if s == generator}
        ends = [[places[node] for node in sorted(pair)] for pair in sorted(lines, key=sorted)]
        axes.add_collection(LineCollection(ends, colors=colour, linewidths=0.9, linestyles=DASHES[row % len(DASHES)],
                                           zorder=1))  # fmt: skip
    return chosen
