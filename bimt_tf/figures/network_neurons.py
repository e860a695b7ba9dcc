"""The neurons of a network's picture (network.py): dots, heads' boxes, biases, tables, and strips of crowded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Polygon, Rectangle

from bimt_tf.figures.network_page import STRIP_FROM, Column
from bimt_tf.figures.network_wires import Look
from bimt_tf.figures.style import (
    ACCENT,
    BANDS,
    INK,
    MODULE_MARKERS,
    MODULES,
    MUTED,
    PALE,
    SEQUENTIAL,
    WIRE_NEGATIVE,
    WIRE_POSITIVE,
)  # fmt: skip
from bimt_tf.scene.rows import SHEAR
from bimt_tf.scene.scene import ACTIVE, CARRIED, DEAD_END, IDLE, NO_INPUT, Biases, Table

__all__ = ["BOX", "MARKS", "dot", "draw_biases", "draw_box", "draw_neurons", "draw_plane", "draw_table"]

BOX = 0.2  # half the height of a head's box, in units of height
BIAS = 0.11  # length of the mark of the largest bias, in units of height
CELL = (0.26, 0.34)  # where a table's cells begin and end, from its row
MARKS: dict[int, tuple[str, dict[str, Any]]] = {
    ACTIVE: ("o", {"facecolor": INK, "edgecolor": "white", "lw": 0.4}),
    CARRIED: ("o", {"facecolor": MUTED, "edgecolor": "white", "lw": 0.3}),
    DEAD_END: ("X", {"facecolor": "white", "edgecolor": INK, "lw": 0.6}),
    NO_INPUT: ("^", {"facecolor": "white", "edgecolor": INK, "lw": 0.6}),
    IDLE: ("o", {"color": PALE, "lw": 0}),
}
"""What stands for a neuron of each state: a marker and its style."""
_SHADES = LinearSegmentedColormap.from_list("pale to ink", [PALE, INK])


def dot(column: Column, row: int) -> float:
    """Area of an active neuron's dot, in square points."""
    return float(np.clip((0.72 * column.room(row)) ** 2, 4, 19))


def draw_box(axes: Axes, column: Column, row: int, z: float) -> None:
    """The boxes of a row's heads; of a row without heads that shares its depth, one box."""
    own = column.scene.rows[row]
    shared = sum(other.depth == own.depth for other in column.scene.rows) > 1
    spans = [(box.left, box.right) for box in own.boxes] or ([(-0.01, 1.01)] if shared else [])
    half = BOX + own.half
    for i, (left, right) in enumerate(spans):
        box = Rectangle((left, own.y - half), right - left, 2 * half, facecolor=BANDS[0], edgecolor=MUTED, lw=0.45,
                        alpha=0.6, zorder=z)  # fmt: skip
        box.set(gid=f"head {own.boxes[i].head}" if own.boxes else "box", clip_on=False)
        axes.add_patch(box)


def draw_plane(axes: Axes, column: Column, row: int) -> None:
    """The plane that a row with a second coordinate stands on."""
    own = column.scene.rows[row]
    if own.half:
        edge, half = 0.02, own.half * 1.06
        corners = [
            (x + SHEAR * lift, own.y + lift)
            for x, lift in ((own.x.min() - edge, -half), (own.x.max() + edge, -half), (own.x.max() + edge, half),
                            (own.x.min() - edge, half))
        ]  # fmt: skip
        plane = Polygon(corners, facecolor=BANDS[0], edgecolor=MUTED, lw=0.45, alpha=0.6, zorder=0.8)
        plane.set(gid="plane", clip_on=False)
        axes.add_patch(plane)


def draw_neurons(axes: Axes, column: Column, row: int, look: Look) -> None:
    """A row's neurons, by what they are."""
    states, own = column.scene.states[row], column.scene.rows[row]
    values = None if look.emphasis.values is None else look.emphasis.values[row]
    module = look.emphasis.module[row]
    ringed = look.emphasis.ringed[row]
    shown = np.ones(own.size, dtype=bool)
    if column.is_strip(row):
        _draw_strip(axes, column, row)
        shown = column.wired(row) | ringed
    (x, y), area = column.at(row).T, dot(column, row)
    for state, (marker, style) in MARKS.items():
        chosen = (states == state) & shown & (module < 0)
        if values is not None:
            chosen &= np.isnan(values)
        size = {IDLE: 2.2, CARRIED: 0.45 * area, ACTIVE: area}.get(state, 1.25 * area)
        axes.scatter(
            x[chosen], y[chosen], s=size, marker=marker, clip_on=False, zorder=4, gid=f"state {state}", **style
        )
    for number in np.unique(module[module >= 0]).tolist():
        chosen = module == number
        axes.scatter(
            x[chosen], y[chosen], s=1.5 * area, marker=MODULE_MARKERS[number % len(MODULE_MARKERS)],
            facecolor=MODULES[number % len(MODULES)], edgecolor=INK, lw=0.4, clip_on=False, zorder=4.2,
            gid=f"module {number}",
        )  # fmt: skip
    if values is not None:
        known = ~np.isnan(values)
        axes.scatter(
            x[known], y[known], s=1.6 * area, c=values[known], cmap=colormaps[SEQUENTIAL],
            norm=Normalize(*look.values), edgecolor=INK, lw=0.4, clip_on=False, zorder=4.2, gid="values",
        )  # fmt: skip
    if ringed.any():
        axes.scatter(x[ringed], y[ringed], s=52, facecolor="none", edgecolor=ACCENT, lw=1.4, clip_on=False, zorder=4.5,
                     gid="highlight")  # fmt: skip


def _draw_strip(axes: Axes, column: Column, row: int) -> None:
    """A crowded row: the share of neighbouring neurons that are active, as shades."""
    own, states = column.scene.rows[row], column.scene.states[row]
    n = min(STRIP_FROM, own.size)
    bins = own.slots * n // own.size
    share = np.bincount(bins, states == ACTIVE, n) / np.bincount(bins, minlength=n)
    edge = 0.5 * np.ptp(own.x) / (own.size - 1)
    axes.imshow(share[None], extent=(own.x.min() - edge, own.x.max() + edge, own.y - 0.05, own.y + 0.05), aspect="auto",
                cmap=_SHADES, vmin=0, vmax=1, zorder=3, interpolation="nearest", gid="strip")  # fmt: skip


def draw_biases(axes: Axes, column: Column, biases: Biases) -> None:
    """A short bar beside each neuron with a bias: upwards for a positive one, its length |b| of the largest.

    Of a strip, the neurons with dots alone have theirs.
    """
    chosen = np.ones(len(biases.neurons), bool)
    if column.is_strip(biases.row):
        chosen = column.wired(biases.row)[biases.neurons]
    values, at = biases.values[chosen], column.at(biases.row)[biases.neurons[chosen]]
    aside = 0.5 * dot(column, biases.row) ** 0.5 + 1.1  # points
    x = at[:, 0] - aside / (72 * column.width)
    ends = at[:, 1] + BIAS * values / biases.largest
    signs = np.where(values > 0, WIRE_POSITIVE, WIRE_NEGATIVE).tolist()
    bars = LineCollection(
        list(np.stack([np.stack([x, at[:, 1]], axis=1), np.stack([x, ends], axis=1)], axis=1)),
        colors=signs, linewidths=1.3, capstyle="butt", zorder=4.1,
    )  # fmt: skip
    bars.set(gid=f"biases {biases.parameter}", clip_on=False)
    axes.add_collection(bars, autolim=False)


def draw_table(axes: Axes, column: Column, table: Table, place: int) -> None:
    """Cells beside a row, one a neuron, shaded by the root mean square of its entries; ``place``: the how-manieth."""
    row = column.scene.rows[table.row]
    side = -1 if table.below else 1
    near, far = (CELL[0] + place * (CELL[1] - CELL[0] + 0.05), CELL[1] + place * (CELL[1] - CELL[0] + 0.05))
    width = 0.8 * (np.ptp(row.x) / (row.size - 1) if row.size > 1 else 0.05)
    shades: Float[np.ndarray, "n 4"] = _SHADES(table.sizes / (table.sizes.max() or 1.0))
    bottom = row.y + side * (row.half + (far if side < 0 else near))
    cells = [Rectangle((x - width / 2, bottom), width, CELL[1] - CELL[0]) for x in row.x.tolist()]
    patches = PatchCollection(cells, facecolors=shades, linewidths=0, zorder=3)
    patches.set(gid=f"table {table.parameter}", clip_on=False)
    axes.add_collection(patches, autolim=False)
