"""The words of a network's picture (network.py): names of rows, heads and neurons, counts at the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from bimt_tf.figures.labels import Boxes, Spot, Word, placed, shortened
from bimt_tf.figures.network_neurons import BIAS, BOX, CELL, dot
from bimt_tf.figures.network_page import Column, measure
from bimt_tf.figures.network_wires import Look
from bimt_tf.figures.style import ACCENT, INK, INK_OUTLINE, MUTED
from bimt_tf.scene.scene import ACTIVE, CARRIED, DEAD_END, NO_INPUT

__all__ = ["LONGEST", "OUTLINE", "draw_names", "draw_row_names", "label_room", "row_label"]

OUTLINE = [withStroke(linewidth=1.6, foreground=INK_OUTLINE)]
LABEL_SIZES = (6.5, 5.6, 4.8)
NUMBER, HEAD, ROW, COUNT = 4.8, 4.8, 7.5, 6.0  # font sizes
LONGEST = 78.0  # points of a name of a neuron, a row
MOST_NUMBERS = 500  # in a column
NEAR = 3.0  # points between a neuron and its name, at least

Labels = Mapping[str, Sequence[str]]


def row_label(column: Column, row: int) -> str:
    """A row's name, short enough for the margin."""
    return shortened(column.scene.rows[row].label, ROW, LONGEST, measure)


def label_room(column: Column, labels: Labels, row: int) -> float:
    """Points that a row's names and tables need beyond the row."""
    tables = [table for table in column.scene.tables if table.row == row]
    beyond = 72 * column.pitch * (CELL[1] + 0.05) * len(tables) + (NEAR if tables else 0)
    words = labels.get(column.scene.rows[row].stage)
    if words is None:
        return beyond + 6.0
    spots, _ = _label_spots(column, row, words)
    size, upright = spots[0].size, spots[0].upright
    return beyond + 2 * NEAR + (max(min(measure(w, size)[0], LONGEST) for w in words) if upright else 1.3 * size)


def _label_spots(column: Column, row: int, words: Sequence[str]) -> tuple[list[Spot], bool]:
    """The spots of a row's names, the same for all on a line, and whether they stand below it."""
    own = column.scene.rows[row]
    below = row == column.first or own.depth == column.scene.rows[column.first].depth
    tables = sum(t.row == row for t in column.scene.tables)
    away = NEAR + 72 * column.pitch * (CELL[1] + 0.05) * tables + (72 * column.pitch * 0.06 if not tables else 0)
    if own.half:
        return _around(row, column), below
    room = column.room(row)
    widest = max(min(measure(word, LABEL_SIZES[0])[0], LONGEST) for word in words)
    up = 1.0 if below else 0.0
    sign = -1 if below else 1
    if widest + 3 <= room:
        # in the middle, or beside a bias that stands there
        beside = ((0.0, 0.5), (-1.0, 0.0), (-4.0, 1.0))
        return [Spot(dx, sign * away, across, up, False, LABEL_SIZES[0]) for dx, across in beside], below
    fitting = [size for size in LABEL_SIZES if 1.17 * size + 1.6 <= room] or [LABEL_SIZES[-1]]
    return [Spot(0, sign * away, 0.5, up, True, fitting[0])], below


def _around(row: int, column: Column) -> list[Spot]:
    near = NEAR + 0.3 * dot(column, row) ** 0.5
    return [
        Spot(dx * near, dy * near, (1 - dx) / 2, (1 - dy) / 2, False, size)
        for size in LABEL_SIZES
        for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
    ]


def draw_names(
    axes: Axes, column: Column, labels: Labels, look: Look, *, numbers: Literal["all", "unnamed", "none"] = "all"
) -> int:
    """Names of neurons, of heads, and ``numbers`` of neurons (all, those without a name), as far as there is room.

    Returns:
        How many names of neurons found no room.
    """
    taken = Boxes()
    for row in column.rows:
        _take_dots(taken, column, row)
    left_out = 0
    for row in column.rows:
        words = labels.get(column.scene.rows[row].stage)
        first = next(i for i, r in enumerate(column.scene.rows) if r.stage == column.scene.rows[row].stage)
        if words is not None and row == first:
            left_out += _draw_labels(axes, column, row, words, taken)
    for row in column.rows:
        _draw_heads(axes, column, row, taken)
    if numbers != "none":
        named = {name: list(map(str, range(len(words)))) for name, words in labels.items()}
        _draw_numbers(axes, column, labels if numbers == "all" else named, look, taken)
    return left_out


def _take_dots(taken: Boxes, column: Column, row: int) -> None:
    states = column.scene.states[row]
    at = column.points(column.at(row))[np.isin(states, (ACTIVE, CARRIED, DEAD_END, NO_INPUT))]
    if column.is_strip(row):
        y = column.points(np.array([[0.0, column.scene.rows[row].y]]))[0, 1]
        taken.add(np.array([[0.0, y - 4, 72 * column.width, y + 4]]))
        return
    half = dot(column, row) ** 0.5 / 2
    taken.add(np.concatenate([at - half, at + half], axis=1))
    for biases in column.scene.biases:
        if biases.row == row:
            ends = 72 * column.pitch * BIAS * biases.values / biases.largest
            x, y = column.points(column.at(row)[biases.neurons]).T
            low, high = y + np.minimum(ends, 0), y + np.maximum(ends, 0)
            taken.add(np.stack([x - half - 2, low, x - half, high], axis=1))


def _order(column: Column, row: int, words: Sequence[str]) -> list[int]:
    """Neurons with a name, active ones first."""
    states = column.scene.states[row]
    named = [i for i, word in enumerate(words) if word.strip()]
    return sorted(named, key=lambda i: (-int(states[i] == ACTIVE), column.scene.rows[row].x[i]))


def _draw_labels(axes: Axes, column: Column, row: int, words: Sequence[str], taken: Boxes) -> int:
    spots, _ = _label_spots(column, row, words)
    at, points = column.at(row), column.points(column.at(row))
    texts = [shortened(word, spots[0].size, LONGEST, measure) for word in words]
    order = _order(column, row, words)
    wanted = [Word(texts[i], float(points[i, 0]), float(points[i, 1]), spots) for i in order]
    found = placed(wanted, taken, measure, _frame(column))
    active = column.scene.states[row] == ACTIVE
    for i, spot in zip(order, found, strict=True):
        if spot is not None:
            _write(axes, texts[i], at[i], spot, INK if active[i] else MUTED, f"label {column.scene.rows[row].name} {i}")
    return sum(spot is None for spot in found)


def _frame(column: Column) -> tuple[float, float]:
    """From where to where words may reach, in points: up to the names and counts of the rows."""
    return -6.0, 72 * column.width + 6.0


def _draw_heads(axes: Axes, column: Column, row: int, taken: Boxes) -> None:
    own = column.scene.rows[row]
    up = 72 * column.pitch * BOX - 0.5
    for head, left, right in own.boxes:
        corner = column.points(np.array([[left, own.y], [right, own.y]]))
        room = corner[1, 0] - corner[0, 0]
        name = next((w for w in (f"head {head}", f"{head}") if measure(w, HEAD)[0] + 3 <= room), None)
        if name is None:
            continue
        spots = [Spot(1.5, up, 0, 1, False, HEAD), Spot(1.5, 0.5 - up, 0, 0, False, HEAD)]
        spots += [Spot(room - 1.5, up, 1, 1, False, HEAD), Spot(room - 1.5, 0.5 - up, 1, 0, False, HEAD)]
        (spot,) = placed([Word(name, float(corner[0, 0]), float(corner[0, 1]), spots)], taken, measure)
        if spot is not None:
            _write(axes, name, np.array([left, own.y]), spot, MUTED, f"name of head {head}")


def _draw_numbers(axes: Axes, column: Column, labels: Labels, look: Look, taken: Boxes) -> None:
    """Neurons by their index, where their name does not say it: ringed ones first, then those of most weight."""
    scene = column.scene
    found: list[tuple[float, int, int]] = []
    for row in column.rows:
        weight = _weight(column, row)
        shown = np.isin(scene.states[row], (ACTIVE, CARRIED, DEAD_END, NO_INPUT)) | look.emphasis.ringed[row]
        if column.is_strip(row):
            shown &= (weight > 0) | look.emphasis.ringed[row]
        words = labels.get(scene.rows[row].stage, ())
        shown[[i for i, word in enumerate(words) if word == str(i)]] = False
        weight = weight + 1e6 * look.emphasis.ringed[row]
        found += [(-float(weight[i]), row, int(i)) for i in np.flatnonzero(shown)]
    found = sorted(found)[:MOST_NUMBERS]
    numbers = []
    for _, row, neuron in found:
        at = column.points(column.at(row)[neuron][None])[0]
        numbers.append(Word(str(neuron), float(at[0]), float(at[1]), _number_spots(column, row, neuron, look)))
    for (_, row, neuron), spot in zip(found, placed(numbers, taken, measure, _frame(column)), strict=True):
        if spot is not None:
            ringed = bool(look.emphasis.ringed[row][neuron])
            colour = ACCENT if ringed else INK
            _write(axes, str(neuron), column.at(row)[neuron], spot, colour, "number", bold=ringed)


def _weight(column: Column, row: int) -> Float[np.ndarray, " n"]:
    """By neuron, the summed strength of its wires."""
    total = np.zeros(column.scene.rows[row].size)
    for wires in column.scene.wires:
        if wires.source == row:
            np.add.at(total, wires.sources, wires.strength)
        if wires.target == row:
            np.add.at(total, wires.targets, wires.strength)
    return total


def _number_spots(column: Column, row: int, neuron: int, look: Look) -> list[Spot]:
    ringed = bool(look.emphasis.ringed[row][neuron])
    near = (4.8 if column.is_strip(row) else dot(column, row) ** 0.5 / 2 + 1.2) + 2.4 * ringed
    size = NUMBER + 1.2 * ringed
    beside = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, -1), (0, 1))
    sides = ((0, -1), (0, 1)) if column.scene.rows[row].boxes else beside
    return [Spot(0.6 * near * dx, near * dy, (1 - dx) / 2, (1 - dy) / 2, False, size) for dx, dy in sides]


def _write(
    axes: Axes, text: str, at: Float[np.ndarray, " 2"], spot: Spot, colour: str, gid: str, *, bold: bool = False
) -> None:
    wide, high = measure(text, spot.size)
    if spot.upright:
        wide, high = high, wide
    middle = (spot.dx + (0.5 - spot.across) * wide, spot.dy + (0.5 - spot.up) * high)
    written = axes.annotate(
        text, (float(at[0]), float(at[1])), middle, textcoords="offset points", fontsize=spot.size, ha="center",
        va="center", rotation=90 if spot.upright else 0, zorder=6, color=colour, path_effects=OUTLINE,
        annotation_clip=False, parse_math=False, weight="bold" if bold else "normal",
    )  # fmt: skip
    written.set_gid(gid)


def draw_row_names(axes: Axes, column: Column) -> None:
    """What each row is, at its left, blocks by brackets; how many of its neurons are active, at its right."""
    scene, inch = column.scene, 1 / column.width
    names = max(measure(row_label(column, row), ROW)[0] for row in column.rows) / 72
    for row in column.rows:
        own = scene.rows[row]
        axes.text(-0.12 * inch, own.y, row_label(column, row), ha="right", va="center", fontsize=ROW, parse_math=False,
                  gid="row name")  # fmt: skip
        count = scene.counts[row]
        axes.text(1 + 0.12 * inch, own.y, f"{count:,}/{own.size:,}", ha="left", va="center", fontsize=COUNT,
                  color=MUTED, gid="count")  # fmt: skip
    for block, found in groupby(column.rows, key=lambda row: _block(column, row)):
        rows = list(found)
        if block < 0:
            continue
        x, low, high = -(0.2 + names) * inch, scene.rows[rows[0]].y - 0.2, scene.rows[rows[-1]].y + 0.2
        axes.plot([x, x], [low, high], color=MUTED, lw=0.6, clip_on=False, gid="bracket")
        axes.text(x - 0.05 * inch, (low + high) / 2, f"block {block}", ha="right", va="center", rotation=90,
                  fontsize=COUNT, color=MUTED, gid="block")  # fmt: skip


def _block(column: Column, row: int) -> int:
    """The block that a row is of, or that the stream's row is within; -1 for none."""
    rows = column.scene.rows
    around = [rows[i].block if 0 <= i < len(rows) else None for i in (row - 1, row, row + 1)]
    found = around[1] if around[1] is not None else around[0] if around[0] == around[2] else None
    return -1 if found is None else found
