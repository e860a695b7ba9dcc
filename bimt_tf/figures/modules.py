"""The modules of a network: its drawing with each module in a colour and a shape, and what modules do to the targets.

Rows of the drawing are depths, the input at the bottom; neurons without weights are left out. Weights inside a module
have its colour, those between two are grey. In the matrix below, a cell's number is the target without the module, its
tone the size of the change beside the largest of the column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import networkx as nx
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from bimt_tf.analysis.module_effects import ModuleEffects
from bimt_tf.analysis.modules import Modules
from bimt_tf.core.population import Node
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, INK_OUTLINE, MUTED, STYLE

__all__ = ["MODULE_COLOURS", "modules_figure"]

MODULE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
"""Okabe and Ito's, without yellow, which is too pale for lines; a seventh module has the first and another shape."""
SHAPES = "osD^vP"
BETWEEN = "#B8C0C9"
WIDTH, ROW, CELL = 7.2, 0.62, 0.26  # inches: of the figure, between two rows, of a matrix's row
LEFT, RIGHT, TOP, BOTTOM = 1.15, 0.35, 0.62, 0.15  # margins
UNDER, HEAD = 0.42, 0.42  # room below the drawing, for names of inputs, and above the matrix, for those of targets
KEY = 0.145  # inches of a line of the key
GUTTER = 0.06  # between the stages of one row, in plot widths
OUTLINE = [withStroke(linewidth=2, foreground=INK_OUTLINE)]


def modules_figure(
    graph: nx.Graph,
    wiring: Wiring,
    found: Modules,
    effects: ModuleEffects,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a network by its modules.

    Args:
        graph: ``connection_graph(bimt, residual="unrolled")``, above the threshold at which modules were found.
        wiring: of the same model.
        found: its modules, of the residual stream shared or unrolled.
        effects: what they do.
        labels: stage -> a name for each of its neurons, as tasks name inputs and outputs.
        title: above the figure.

    Raises:
        InputError: for a graph that is not unrolled.
    """
    if graph.graph.get("residual") != "unrolled":
        raise InputError("modules_figure draws connection_graph(bimt, residual='unrolled'), found another graph")
    places = _places(graph, wiring)
    rows = 1 + max(stage.depth for stage in wiring.stages)
    key, lines = KEY * len(found.modules), len(effects.modules) + 2
    drawing, matrix = ROW * (rows - 1), CELL * lines
    height = TOP + drawing + UNDER + key + HEAD + matrix + BOTTOM
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        across = (WIDTH - LEFT - RIGHT) / WIDTH
        axes = figure.add_axes((LEFT / WIDTH, 1 - (TOP + drawing) / height, across, drawing / height))
        _draw_network(axes, graph, wiring, found, places, labels or {})
        _draw_key(figure, found, 1 - (TOP + drawing + UNDER) / height)
        below = figure.add_axes((LEFT / WIDTH, BOTTOM / height, across, matrix / height))
        _draw_matrix(below, effects)
        said = title or f"Modules, Q {found.q:.3f}"
        figure.text(0.1 / WIDTH, 1 - 0.08 / height, said, fontsize=10, weight="bold", va="top")
    return figure


def _module_of(found: Modules, graph: nx.Graph, node: Node) -> int | None:
    """The module of an unrolled graph's neuron."""
    if found.residual == "shared":
        node = (graph.nodes[node]["population"], node[1])
    return found.module_of(node)


def _look(number: int | None) -> tuple[str, str]:
    """Colour and shape of a module."""
    if number is None:
        return MUTED, "."
    turn, which = divmod(number - 1, len(MODULE_COLOURS))
    return MODULE_COLOURS[which], SHAPES[(which + turn) % len(SHAPES)]


def _places(graph: nx.Graph, wiring: Wiring) -> dict[Node, tuple[float, float]]:
    """Neurons with weights -> (x in [0, 1], depth); stages of one depth side by side."""
    xs = [x for _, x in graph.nodes(data="x")]
    low, wide = min(xs), max(xs) - min(xs)
    found: dict[Node, tuple[float, float]] = {}
    for depth, stages in groupby(sorted(wiring.stages, key=lambda s: (s.depth, s.column)), key=lambda s: s.depth):
        row = list(stages)
        share = (1 - GUTTER * (len(row) - 1)) / len(row)
        for column, stage in enumerate(row):
            size = wiring.populations[stage.population].size
            for neuron in range(size):
                data = graph.nodes[stage.name, neuron]
                x = (data["x"] - low) / wide if wide else (data["slot"] + 0.5) / size
                if graph.degree[stage.name, neuron]:
                    found[stage.name, neuron] = (column * (share + GUTTER) + share * x, depth)
    return found


def _draw_network(
    axes: Axes,
    graph: nx.Graph,
    wiring: Wiring,
    found: Modules,
    places: Mapping[Node, tuple[float, float]],
    labels: Mapping[str, Sequence[str]],
) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(0, max(stage.depth for stage in wiring.stages)))
    axes.set_axis_off()
    number = {node: _module_of(found, graph, node) for node in places}
    largest: dict[str, float] = {}
    for *_, data in graph.edges(data=True):
        largest[data["parameter"]] = max(largest.get(data["parameter"], 0.0), data["weight"])
    segments, colours, widths = [], [], []
    edges = sorted(graph.edges(data=True), key=lambda edge: number[edge[0]] == number[edge[1]])  # grey ones below
    for u, v, data in edges:
        inside = number[u] == number[v] and number[u] is not None
        strength = data["weight"] / largest[data["parameter"]]
        segments.append((places[u], places[v]))
        colours.append(to_rgba(_look(number[u])[0] if inside else BETWEEN, 0.35 + 0.65 * strength))
        widths.append(0.5 + 1.7 * strength)
    lines = LineCollection(segments, colors=colours, linewidths=widths, capstyle="round", clip_on=False, zorder=2)
    lines.set_gid("connections")
    axes.add_collection(lines, autolim=False)
    for each in sorted({one for one in number.values() if one is not None}):
        nodes = [node for node in places if number[node] == each]
        colour, shape = _look(each)
        x, y = np.array([places[node] for node in nodes]).T
        axes.scatter(x, y, s=22, marker=shape, color=colour, edgecolor="white", lw=0.5, zorder=4, clip_on=False,
                     gid=f"module {each}")  # fmt: skip
    alone = [node for node in places if number[node] is None]
    x, y = np.array([places[node] for node in alone]).reshape(-1, 2).T
    axes.scatter(x, y, s=8, color=MUTED, zorder=4, clip_on=False, gid="alone")
    _draw_words(axes, wiring, places, labels)


def _draw_words(
    axes: Axes, wiring: Wiring, places: Mapping[Node, tuple[float, float]], labels: Mapping[str, Sequence[str]]
) -> None:
    """Names of rows at the left, of inputs below and of outputs above."""
    rows: dict[int, list[str]] = {}
    for stage in sorted(wiring.stages, key=lambda one: (one.depth, one.column)):
        rows.setdefault(stage.depth, []).append(stage.name)
    for depth, names in rows.items():
        blocks = {name.rpartition(".")[0] for name in names}
        tails = " ".join(name.rpartition(".")[2] for name in names)
        text = f"{blocks.pop()} {tails}".strip() if len(blocks) == 1 else tails
        axes.text(-0.045, depth, text.replace("blocks.", "block "), ha="right", va="center")
    last = max(rows)
    for name, words in labels.items():
        shown = [(node, words[node[1]]) for node in places if node[0] == name]
        steep = bool(shown) and max(len(word) for _, word in shown) * 4.0 > 400 / len(shown)
        for node, word in shown:
            above = places[node][1] == last
            axes.annotate(
                word, places[node], (0, 6 if above else -6), textcoords="offset points", fontsize=6.5, color=INK,
                ha="center", va="bottom" if above else "top", rotation=90 if steep else 0, annotation_clip=False,
                path_effects=OUTLINE, zorder=6,
            )  # fmt: skip


def _draw_key(figure: Figure, found: Modules, top: float) -> None:
    handles = []
    for one in found.modules:
        colour, shape = _look(one.number)
        text = f"{one.number}: {one.name}, {len(one.nodes)} neurons"
        handles.append(Line2D([], [], color=colour, marker=shape, markersize=4.5, lw=1.6, label=text))
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(LEFT / WIDTH - 0.02, top), handlelength=2.0,
                  labelspacing=0.35, borderaxespad=0)  # fmt: skip


def _draw_matrix(axes: Axes, effects: ModuleEffects) -> None:
    """Targets without each module; the whole network and the one without neurons below."""
    names = list(effects.whole)
    whole = np.array([effects.whole[name] for name in names])
    rows = [*(one.without for one in effects.modules), effects.nothing, effects.whole]
    values = np.array([[row[name] for name in names] for row in rows])
    change = np.abs(values - whole)
    # Losses rise by orders of magnitude, accuracies at most by 1: the square root keeps small changes visible.
    tone = np.sqrt(change / np.maximum(change[:-2].max(0), 1e-300)).clip(0, 1)
    axes.imshow(tone, cmap="Blues", vmin=0, vmax=1.5, aspect="auto")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7, color=INK)
    axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_yticks(range(len(rows)), [*(f"without {one.number}" for one in effects.modules), "no neurons", "whole"])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for tick, one in zip(axes.get_yticklabels(), effects.modules, strict=False):
        tick.set_color(_look(one.number)[0])
