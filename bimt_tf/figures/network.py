"""The picture of a network in space (paper, Figs. 2 and 7): every neuron where it stands, every weight a line.

Rows are depths, the input at the bottom; Q, K and V stand side by side. Colour is the weight's own sign; width and
opacity are |w| over the largest |w| of the same tensor, so that a layer of small weights does not vanish.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from bimt_tf.analysis.paths import Node
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown
from bimt_tf.figures.network_words import LEFT, OUTLINE, draw_counts, draw_key, draw_labels, draw_row_names
from bimt_tf.figures.scene import Scene
from bimt_tf.figures.style import ACCENT, BANDS, INK, MUTED, NEGATIVE, PALE, POSITIVE, STYLE

__all__ = ["draw_network", "network_figure"]

PLOT_WIDTH, ROW_PITCH = 6.2, 0.74  # inches
RIGHT, BOTTOM, TOP = 0.6, 0.62, 0.62  # margins, inches
HEAD_WORD = 0.25  # inches a band must be wide to say "head 3", not "3"
BAND_BELOW, BAND_ABOVE = 0.13, 0.31  # extent of a head's band around its row, in rows; its name stands above
CROWD = 250  # lines between two rows beyond which they get thinner and paler
FADED = 0.3  # opacity left to lines that touch no highlighted neuron
MANY_LINES = 5000  # beyond which a PDF holds them as an image


def network_figure(
    graph: nx.Graph,
    wiring: Wiring,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
    highlight: Collection[Node] | None = None,
) -> Figure:
    """Draw an unrolled connection graph.

    Active neurons, on a path from an input to an output, are solid, and the count at the right says how many of a row
    they are; neurons whose weights lead nowhere or come from nowhere are hollow, the others small and pale.
    Dotted verticals are the residual stream between the first and last stage at which a neuron is read or written.
    Bands are heads, wherever their places do not overlap in x.

    Args:
        graph: ``connection_graph(bimt, residual="unrolled")``.
        wiring: of the same model.
        labels: stage name -> a name for each of its neurons, in the order of neurons, e.g. ``{"input": ["x", "y"]}``.
        title: above the figure.
        highlight: nodes ``(stage, neuron)`` to ring and number; lines that touch none of them fade.

    Raises:
        InputError: for a graph that is not unrolled or not of this wiring, or labels or nodes that do not exist.
    """
    _check(graph, wiring, labels or {}, highlight or ())
    scene = Scene.of(graph, wiring)
    height = ROW_PITCH * max(len(scene.rows) - 1, 1)
    size = (LEFT + PLOT_WIDTH + RIGHT, BOTTOM + height + TOP)
    with rc_context(STYLE):
        figure = Figure(figsize=size)
        axes = figure.add_axes((LEFT / size[0], BOTTOM / size[1], PLOT_WIDTH / size[0], height / size[1]))
        _draw(axes, scene, (PLOT_WIDTH, ROW_PITCH), labels or {}, highlight or ())
        draw_row_names(axes, scene)
        draw_key(figure, size, scene, title)
    return figure


def draw_network(
    axes: Axes,
    graph: nx.Graph,
    wiring: Wiring,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    highlight: Collection[Node] | None = None,
) -> None:
    """Draw an unrolled connection graph into a panel: what :func:`network_figure` draws, without row names and key.

    The caller draws inside ``rc_context(STYLE)`` and leaves room around the panel for labels.

    Raises:
        InputError: as :func:`network_figure`.
    """
    _check(graph, wiring, labels or {}, highlight or ())
    scene = Scene.of(graph, wiring)
    extent, dpi = axes.get_window_extent(), axes.figure.dpi
    row = extent.height / dpi / max(len(scene.rows) - 1, 1)
    _draw(axes, scene, (extent.width / dpi, row), labels or {}, highlight or ())


def _draw(
    axes: Axes,
    scene: Scene,
    inches: tuple[float, float],
    labels: Mapping[str, Sequence[str]],
    highlight: Collection[Node],
) -> None:
    """Everything inside a panel whose width and whose distance between rows are ``inches``."""
    axes.set(xlim=(0, 1), ylim=(0, max(len(scene.rows) - 1, 1)))
    axes.set_axis_off()
    _draw_heads(axes, scene, inches)
    _draw_stream(axes, scene)
    _draw_connections(axes, scene, set(highlight))
    _draw_neurons(axes, scene, inches, highlight)
    draw_counts(axes, scene)
    draw_labels(axes, scene, inches, labels)


def _check(graph: nx.Graph, wiring: Wiring, labels: Mapping[str, Sequence[str]], highlight: Collection[Node]) -> None:
    if graph.graph.get("residual") != "unrolled":
        raise InputError("network_figure draws connection_graph(bimt, residual='unrolled'), found another graph")
    sizes = {stage.name: wiring.populations[stage.population].size for stage in wiring.stages}
    if set(graph) != {(name, neuron) for name, size in sizes.items() for neuron in range(size)}:
        raise InputError("the graph's nodes are not the neurons of this wiring: it was made for another model")
    for name, words in labels.items():
        if name not in sizes:
            raise unknown("stage in labels", name, sizes)
        if len(words) != sizes[name]:
            raise InputError(f"labels of stage {name!r} must be {sizes[name]} names, found {len(words)}")
    for node in highlight:
        if node not in graph:
            raise InputError(f"highlight names {node!r}, which is no (stage, neuron) of the graph")


def _draw_heads(axes: Axes, scene: Scene, inches: tuple[float, float]) -> None:
    for stage in scene.wiring.stages:
        bands = scene.heads(stage)
        narrow = any((right - left) * inches[0] < HEAD_WORD for _, left, right in bands)
        bottom = scene.places[stage.name, 0][1] - BAND_BELOW
        for segment, (head, left, right) in enumerate(bands):
            tone = BANDS[segment % 2]
            band = Rectangle((left, bottom), right - left, BAND_BELOW + BAND_ABOVE, color=tone, lw=0, zorder=0)
            band.set(gid="head", clip_on=False)
            axes.add_patch(band)
            axes.text((left + right) / 2, bottom + BAND_BELOW + BAND_ABOVE - 0.03,
                      f"{head}" if narrow else f"head {head}", fontsize=5.2, color=MUTED, ha="center", va="top",
                      zorder=5, path_effects=[withStroke(linewidth=1.8, foreground=tone)])  # fmt: skip


def _draw_stream(axes: Axes, scene: Scene) -> None:
    used: dict[tuple[str, int], list[Node]] = {}
    for stage in (stage for row in scene.rows for stage in row):
        for node in scene.nodes(stage):
            if node in scene.connected:
                used.setdefault((stage.population, node[1]), []).append(node)
    ends = [(scene.places[nodes[0]], scene.places[nodes[-1]]) for nodes in used.values()]
    segments = [(start, end) for start, end in ends if start[1] < end[1]]
    stream = LineCollection(segments, colors=MUTED, linewidths=0.5, linestyles=[(0, (1, 2.5))], alpha=0.55, zorder=1)
    stream.set_gid("stream")
    axes.add_collection(stream, autolim=False)


def _draw_connections(axes: Axes, scene: Scene, highlight: set[Node]) -> None:
    """Every edge, the strongest on top."""
    edges = list(scene.graph.edges(data=True))
    segments = np.array([(scene.places[u], scene.places[v]) for u, v, _ in edges]).reshape(-1, 2, 2)
    sizes = np.array([data["weight"] for *_, data in edges])
    signs = np.array([data["sign"] for *_, data in edges])
    names, tensor = np.unique([data["parameter"] for *_, data in edges], return_inverse=True)
    largest = np.zeros(len(names))
    np.maximum.at(largest, tensor, sizes)
    strength = sizes / largest[tensor]
    _, gap, counts = np.unique(np.floor(segments[:, :, 1].mean(1)), return_inverse=True, return_counts=True)
    room = np.minimum(1.0, (CROWD / counts) ** 0.6)[gap]
    colours = np.empty((len(edges), 4))
    colours[:, :3] = np.where((signs > 0)[:, None], to_rgb(POSITIVE), to_rgb(NEGATIVE))
    colours[:, 3] = (0.15 + 0.8 * np.sqrt(strength)) * room
    if highlight:
        colours[:, 3] *= [1.0 if u in highlight or v in highlight else FADED for u, v, _ in edges]
    order = np.argsort(colours[:, 3], kind="stable")
    widths = (0.4 + 1.5 * strength) * np.sqrt(room)
    lines = LineCollection(
        list(segments[order]), colors=colours[order], linewidths=widths[order], capstyle="round", zorder=2
    )
    lines.set_gid("connections")
    lines.set(rasterized=len(edges) > MANY_LINES, clip_on=False)
    axes.add_collection(lines, autolim=False)


def _draw_neurons(axes: Axes, scene: Scene, inches: tuple[float, float], highlight: Collection[Node]) -> None:
    rooms = {stage.name: 72 * scene.spacing(stage, inches) for stage in scene.wiring.stages}
    size = {name: float(np.clip((0.75 * room) ** 2, 5, 20)) for name, room in rooms.items()}
    active = [node for node in scene.places if node in scene.active]
    hollow = [node for node in scene.places if node in scene.connected and node not in scene.active]
    pale = [node for node in scene.places if node not in scene.connected and node not in scene.active]
    drawn: list[tuple[list[Node], str, dict[str, Any]]] = [
        (pale, "unconnected", {"s": 2.2, "color": PALE, "lw": 0}),
        (
            hollow,
            "off path",
            {"s": [size[stage] for stage, _ in hollow], "facecolor": "white", "edgecolor": MUTED, "lw": 0.6},
        ),
        (
            active,
            "active",
            {"s": [size[stage] for stage, _ in active], "facecolor": INK, "edgecolor": "white", "lw": 0.4},
        ),
        (list(highlight), "highlight", {"s": 52, "facecolor": "none", "edgecolor": ACCENT, "lw": 1.5}),
    ]
    for nodes, gid, style in drawn:
        x, y = np.array([scene.places[node] for node in nodes]).reshape(-1, 2).T
        axes.scatter(x, y, clip_on=False, gid=gid, zorder=4, **style)
    for node in highlight:
        axes.annotate(str(node[1]), scene.places[node], (6, 3), textcoords="offset points", fontsize=6.5, weight="bold",
                      color=ACCENT, path_effects=OUTLINE, zorder=6)  # fmt: skip
