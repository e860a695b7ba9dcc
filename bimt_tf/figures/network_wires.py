"""The wires of a network's picture (network.py): lines, densities of large networks, and the stream's dotted verticals.

A wire that belongs to a higher row of the same depth passes beneath the rows between: rows are drawn above the wires
that only pass them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from bimt_tf.figures.network_page import Column
from bimt_tf.figures.style import MODULES, MUTED, SEQUENTIAL, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.scene.emphasis import Emphasis
from bimt_tf.scene.scene import Scene
from bimt_tf.scene.wires import Density, Wires

__all__ = ["FULL", "Look", "crowded", "draw_density", "draw_links", "draw_wires", "fading", "heights", "width_of"]

THIN, THICK = 0.35, 1.75  # points, of a wire of strength 0 and 1
FULL, CROWD, FALL = 30, 1_000, 0.9  # of many lines between two rows: see fading
FADED = 0.15  # opacity left to wires that are not highlighted
DASHED = (0, (2.4, 1.0))  # of negative wires
DOTTED = (0, (1.0, 1.6))  # of wires off every path
CELLS = (260, 36)  # of a density's image, across and up


class Look(NamedTuple):
    """What colours mean: ``wires``, "sign", "module" or "effect"; and what is pointed out.

    ``effects`` and ``values``: from where to where the colours of effects and of neurons' numbers go.
    """

    wires: str
    emphasis: Emphasis
    effects: tuple[float, float]
    values: tuple[float, float]


def heights(scene: Scene) -> tuple[list[float], list[float]]:
    """(z-order of each row's box, z-order of each wires): boxes cover the wires that pass them, not their own.

    Of the rows of one depth that are reached from below, a lower one covers the wires of a higher one; of those that
    only lead on, a higher one covers the wires of a lower one.
    """
    reached = {wires.target for wires in scene.wires}
    n = len(scene.rows)
    boxes = [1 + (2 * (n - i) if i in reached else 2 * (n + i)) / (4 * n + 4) for i in range(n)]
    step = 1 / (4 * n + 4)
    return boxes, [
        boxes[wires.target if _single(scene, wires.source) else wires.source] + step for wires in scene.wires
    ]


def _single(scene: Scene, row: int) -> bool:
    return sum(other.depth == scene.rows[row].depth for other in scene.rows) == 1


def width_of(strength: float) -> float:
    """Width in points of a wire's line, in a row that is not crowded."""
    return THIN + (THICK - THIN) * strength


def draw_wires(axes: Axes, column: Column, wires: Wires, look: Look, z: float) -> None:
    """The wires of one matrix that are drawn one by one, the strongest on top."""
    start, end = column.at(wires.source)[wires.sources], column.at(wires.target)[wires.targets]
    strength, many = wires.strength, len(wires.weights)
    room = fading(column.scene, wires)
    colours = np.empty((many, 4))
    colours[:, :3] = _colours(wires, look)
    colours[:, 3] = (0.3 + 0.65 * np.sqrt(strength)) * room
    off = ~wires.active
    colours[off, :3], colours[off, 3] = to_rgb(MUTED), 0.7 * room[off]
    colours[~look.emphasis.of_wires(wires), 3] *= FADED
    styles: list[Any] = [
        DOTTED if not on else DASHED if weight < 0 and look.wires != "effect" else "-"
        for on, weight in zip(wires.active.tolist(), wires.weights.tolist(), strict=True)
    ]
    order = np.argsort(colours[:, 3] + 2 * wires.active, kind="stable")
    lines = LineCollection(
        list(np.stack([start, end], axis=1)[order]),
        colors=colours[order],
        linewidths=(THIN + (THICK - THIN) * strength[order]) * np.sqrt(room[order]),
        linestyles=[styles[i] for i in order],
        capstyle="butt",
        zorder=z,
    )
    lines.set(gid=f"wires {wires.parameter}", clip_on=False)
    axes.add_collection(lines, autolim=False)


def fading(scene: Scene, wires: Wires) -> Float[np.ndarray, " n"]:
    """How much of its ink each wire keeps, 1 for the FULL strongest between two rows, the less the further behind.

    A dense layer would be an even grey if all lines got paler alike: so the strong ones stand out. The fall is
    (FULL / rank)**FALL where CROWD wires or more join the rows, gentler where fewer do, and none up to FULL.
    """
    beside = [w for w in scene.wires if (w.source, w.target) == (wires.source, wires.target)]
    between = sum(w.positive + w.negative + w.off_path for w in beside)
    stronger = np.sort(np.concatenate([w.strength for w in beside]))
    rank = len(stronger) - np.searchsorted(stronger, wires.strength, side="left")
    exponent = FALL * min(1.0, between / CROWD)
    return np.asarray((FULL / np.maximum(rank, FULL)) ** exponent)


def crowded(scene: Scene) -> bool:
    """Whether so many wires join two rows that some fade."""
    drawn: dict[tuple[int, int], int] = {}
    for wires in scene.wires:
        ends = (wires.source, wires.target)
        drawn[ends] = drawn.get(ends, 0) + len(wires.weights)
    return max(drawn.values(), default=0) > FULL


def _colours(wires: Wires, look: Look) -> Float[np.ndarray, "n 3"]:
    if look.wires == "effect":
        assert wires.effects is not None
        low, high = look.effects
        scaled = (wires.effects - low) / (high - low) if high > low else np.zeros(len(wires.effects))
        return np.asarray(colormaps[SEQUENTIAL](0.95 * (1 - scaled)))[:, :3]
    if look.wires == "module":
        names = [MODULES[i % len(MODULES)] for i in range(len(look.emphasis.modules))]
        palette = np.array([to_rgb(name) for name in (*names, MUTED)])  # the last is that of -1
        return np.asarray(palette[look.emphasis.module_of(wires)])
    return np.where((wires.weights > 0)[:, None], to_rgb(WIRE_POSITIVE), to_rgb(WIRE_NEGATIVE))


def draw_density(axes: Axes, column: Column, wires: Wires, density: Density, z: float) -> None:
    """|w| that lies where, between two rows, as an image; the mixture of the signs' colours is theirs by share."""
    low, high = column.scene.rows[wires.source].y, column.scene.rows[wires.target].y
    positive, negative = (_spread(density, sums) for sums in (density.positive, density.negative))
    both = positive + negative
    share = np.divide(positive, both, out=np.zeros_like(both), where=both > 0)[..., None]
    image = np.empty((*both.shape, 4))
    image[..., :3] = share * to_rgb(WIRE_POSITIVE) + (1 - share) * np.array(to_rgb(WIRE_NEGATIVE))
    full = float(np.quantile(both, 0.995)) or 1.0
    image[..., 3] = 0.5 * np.clip(both / full, 0, 1) ** 1.5
    axes.imshow(image, extent=(0, 1, low, high), origin="lower", aspect="auto", zorder=z, interpolation="bilinear",
                gid=f"density {wires.parameter}")  # fmt: skip


def _spread(density: Density, sums: Float[np.ndarray, "s t"]) -> Float[np.ndarray, "up across"]:
    """Sums between bins along the straight lines that join them."""
    across, up = CELLS
    weights = sums.ravel()
    lines = []
    for share in (np.arange(up) + 0.5) / up:
        x = (1 - share) * density.source_x[:, None] + share * density.target_x[None]
        cells = np.clip(x * across, 0, across - 1).astype(int).ravel()
        lines.append(np.bincount(cells, weights, across))
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    return np.stack([np.convolve(line, kernel, mode="same") for line in lines])


def draw_links(axes: Axes, column: Column) -> None:
    """Dotted verticals: neurons that pass from row to row unchanged; beneath boxes that they only pass."""
    rows = column.scene.rows
    for within, z in ((False, 0.9), (True, 2.5)):
        segments = [
            segment
            for link in column.scene.links
            if column.holds(link.source, link.target) and (rows[link.source].stage == rows[link.target].stage) == within
            if not (column.is_strip(link.source) and column.scene.dense)
            for segment in np.stack([column.at(link.source)[link.neurons], column.at(link.target)[link.neurons]], 1)
        ]
        links = LineCollection(
            segments,
            colors=MUTED,
            linewidths=0.5,
            linestyles=[(0, (1, 2.5))],
            alpha=0.9 if within else 0.6,
            zorder=z,
        )
        links.set(gid="links", clip_on=False)
        axes.add_collection(links, autolim=False)
