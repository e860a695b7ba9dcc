"""The picture of a network in space (paper, Figs. 2 and 7): every neuron where it stands, every weight a line.

Drawn from a scene (scene/scene.py). Rows are depths, the input at the bottom; queries, keys, values and what heads
write stand on top of each other, so that every wire has its true length. Width and opacity of a wire are |w| over the
largest |w| of its matrix, so that a layer of small weights does not vanish; negative wires are dashed and lighter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Node
from bimt_tf.errors import InputError, unknown
from bimt_tf.figures.network_key import (
    LINE,
    NOTE,
    bar_of,
    draw_bar,
    draw_entries,
    draw_lines,
    entries_of,
    flowed,
    notes_of,
    wrapped,
)  # fmt: skip
from bimt_tf.figures.network_neurons import draw_biases, draw_box, draw_neurons, draw_plane, draw_table
from bimt_tf.figures.network_page import Column, columns_of, measure
from bimt_tf.figures.network_wires import Look, draw_density, draw_links, draw_wires, heights
from bimt_tf.figures.network_words import draw_names, draw_row_names, label_room, row_label
from bimt_tf.figures.style import STYLE
from bimt_tf.scene.emphasis import Emphasis, Step, emphasis_of
from bimt_tf.scene.scene import Scene, scene_of

__all__ = ["draw_network", "draw_scene", "network_figure"]

WIDTHS = (6.2, 4.6, 3.6)  # inches, of one column, of one of two, of one of more
PITCH = 0.7  # inches between two depths
EDGE = 8.0  # points around everything
TITLE = 9.0  # font size
ROW_SIZE, COUNT_SIZE = 7.5, 6.0


def network_figure(
    bimt: BIMT,
    *,
    threshold: float = 0.0,
    labels: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
    highlight: Collection[Node | Step] = (),
    modules: Mapping[str, Collection[Node]] | None = None,
    values: Mapping[Node, float] | None = None,
    values_name: str = "value",
    effects: Mapping[str, Tensor] | None = None,
    effects_name: str = "effect",
) -> Figure:
    """Draw a model as it is now.

    Args:
        bimt: the model, with its layout.
        threshold: weights of at most this size are not drawn (a run's ``threshold``).
        labels: stage name -> a name for each of its neurons, in the order of neurons, e.g. ``{"input": ["x", "y"]}``.
        title: above the figure.
        highlight: nodes ``(stage, neuron)`` to ring and number, and steps ``(node, node)`` of paths; other wires fade.
        modules: name -> its nodes; wires inside a module have its colour, and neurons its colour and marker.
        values: node -> a number (what a probe found, say), which the neuron's colour shows.
        values_name: what these numbers are.
        effects: parameter -> a number for each of its weights (a causal effect), which the wire's colour shows.
        effects_name: what these numbers are.

    Raises:
        InputError: for what is no BIMT, labels, nodes, wires or parameters that do not exist, weights that are not
            finite, or both modules and effects.
    """
    scene = scene_of(bimt, threshold, effects=effects)
    if modules and effects:
        raise InputError("modules and effects both colour the wires: give one of them")
    emphasis = emphasis_of(scene, highlight, modules, values)
    return draw_scene(
        scene, emphasis=emphasis, labels=labels, title=title, values_name=values_name, effects_name=effects_name
    )


def draw_scene(
    scene: Scene,
    *,
    emphasis: Emphasis | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
    values_name: str = "value",
    effects_name: str = "effect",
) -> Figure:
    """Draw a scene: :func:`network_figure` for one that is at hand. Networks of many rows have several columns.

    Raises:
        InputError: for labels of a stage that does not exist, or of another number.
    """
    labels = _checked(scene, labels or {})
    look = _look(scene, emphasis or emphasis_of(scene))
    many = len(columns_of(scene, WIDTHS[0], PITCH))
    columns = columns_of(scene, WIDTHS[min(many, len(WIDTHS)) - 1], PITCH)
    with rc_context(STYLE):
        return _page(scene, columns, look, labels, title, (effects_name, values_name))


def _page(
    scene: Scene, columns: list[Column], look: Look, labels: Mapping[str, Sequence[str]], title: str | None,
    names: tuple[str, str],
) -> Figure:  # fmt: skip
    """Measure what stands around the columns, make a figure of that size, and draw."""
    widest = max(measure(row_label(c, row), ROW_SIZE)[0] for c in columns for row in c.rows)
    left = EDGE + widest + (24 if any(row.block is not None for row in scene.rows) else 10)
    counts = [f"{row.size:,}/{row.size:,}" for row in scene.rows]
    right = EDGE + 10 + max(measure(text, COUNT_SIZE)[0] for text in counts)
    pitch = left + 72 * columns[0].width + right
    width = pitch * len(columns)
    room = width - left - EDGE
    entries, bars = flowed(entries_of(columns, look), room), bar_of(look, *names)
    below = max(label_room(c, labels, c.first) for c in columns) + 8
    above = max(max(label_room(c, labels, row) for row in c.rows if _top(c, row)) for c in columns) + 8
    titled = wrapped(title, TITLE, room / 1.16) if title else []
    tall = max(c.high - c.low for c in columns) * 72 * PITCH or 1.0
    # the sentence about names without room is counted in, for it is known only when all is drawn
    lines = len(entries) + len(bars) + len(wrapped(" ".join(notes_of(scene, 10_000)), NOTE, room))
    height = EDGE + lines * LINE + 4 + below + tall + above + 13 * len(titled) + EDGE
    figure = Figure(figsize=(width / 72, height / 72))
    bottom, left_out = EDGE + lines * LINE + 4 + below, 0
    for i, column in enumerate(columns):
        own = (column.high - column.low) * 72 * PITCH or 1.0
        axes = figure.add_axes(((left + i * pitch) / width, bottom / height, 72 * column.width / width, own / height))
        left_out += _draw(axes, column, look, labels)
        draw_row_names(axes, column)
    for number, line in enumerate(titled):
        figure.text(left / width, 1 - (EDGE + 13 * number) / height, line, fontsize=TITLE, weight="bold", va="top",
                    parse_math=False, gid="title")  # fmt: skip
    top = EDGE + lines * LINE
    draw_entries(figure, entries, left, top)
    for number, bar in enumerate(bars):
        draw_bar(figure, bar, left, top - (len(entries) + number) * LINE)
    draw_lines(figure, wrapped(" ".join(notes_of(scene, left_out)), NOTE, room), left,
               top - (len(entries) + len(bars)) * LINE)  # fmt: skip
    return figure


def _top(column: Column, row: int) -> bool:
    rows = column.scene.rows
    return rows[row].depth == rows[column.last].depth


def draw_network(
    axes: Axes,
    scene: Scene,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    emphasis: Emphasis | None = None,
    numbers: Literal["all", "unnamed", "none"] = "none",
) -> None:
    """Draw a scene into a panel: what :func:`network_figure` draws, without row names and key.

    The caller draws inside ``rc_context(STYLE)`` and leaves room around the panel for labels.

    Args:
        axes: the panel.
        scene: the network.
        labels: stage name -> a name for each of its neurons.
        emphasis: what is pointed out (scene/emphasis.py).
        numbers: which neurons have their numbers, as far as there is room; "unnamed" are those without a name.

    Raises:
        InputError: for labels of a stage that does not exist, or of another number.
    """
    extent, dpi = axes.get_window_extent(), axes.figure.dpi
    (column,) = columns_of(scene, extent.width / dpi, 1.0, tallest=float("inf"))
    column = column._replace(pitch=extent.height / dpi / ((column.high - column.low) or 1.0))
    look = _look(scene, emphasis or emphasis_of(scene))
    _draw(axes, column, look, _checked(scene, labels or {}), numbers=numbers)


def _draw(
    axes: Axes,
    column: Column,
    look: Look,
    labels: Mapping[str, Sequence[str]],
    *,
    numbers: Literal["all", "unnamed", "none"] = "all",
) -> int:
    """Everything inside a panel; gives how many names of neurons found no room."""
    scene = column.scene
    axes.set_axis_off()
    boxes, wires_z = heights(scene)
    for row in column.rows:
        draw_box(axes, column, row, boxes[row])
        draw_plane(axes, column, row)
    for wires, z in zip(scene.wires, wires_z, strict=True):
        if column.holds(wires.source, wires.target):
            if wires.density is not None:
                draw_density(axes, column, wires, wires.density, z)
            draw_wires(axes, column, wires, look, z)
    draw_links(axes, column)
    for row in column.rows:
        draw_neurons(axes, column, row, look)
    for biases in scene.biases:
        if biases.row in column.rows:
            draw_biases(axes, column, biases)
    for i, table in enumerate(scene.tables):
        if table.row in column.rows:
            draw_table(axes, column, table, sum(other.row == table.row for other in scene.tables[:i]))
    axes.set(xlim=(0, 1), ylim=(column.low, column.high if column.high > column.low else column.low + 1))
    return draw_names(axes, column, labels, look, numbers=numbers)


def _look(scene: Scene, emphasis: Emphasis) -> Look:
    effects = [wires.effects for wires in scene.wires if wires.effects is not None and len(wires.effects)]
    wires = "effect" if effects else "module" if emphasis.modules else "sign"
    values = [own[~np.isnan(own)] for own in emphasis.values or () if not np.isnan(own).all()]
    return Look(wires, emphasis, _ends(effects), _ends(values))


def _ends(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    together = np.concatenate(list(arrays)) if arrays else np.zeros(1)
    low, high = float(together.min()), float(together.max())
    return (low, high) if high > low else (low, low + 1.0)


def _checked(scene: Scene, labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    sizes = {row.stage: row.size for row in scene.rows}
    for name, words in labels.items():
        if name not in sizes:
            raise unknown("stage in labels", name, sizes)
        if len(words) != sizes[name]:
            raise InputError(f"labels of stage {name!r} must be {sizes[name]} names, found {len(words)}")
    return {name: [str(word) for word in words] for name, words in labels.items()}
