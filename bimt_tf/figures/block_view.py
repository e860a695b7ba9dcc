"""The block view: every weight matrix as a signed heat map, neurons in the order of their slots, heads by borders.

Two rows of matrices for each block: neurons in the order of their numbers, as the network began, and in the order of
their slots, as training left them. The weights are the same: what differs is where the neurons stand. Neurons without
any weight are left out, the same ones in both rows and in every matrix, and the others are numbered.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from bimt_tf.bimt import BIMT
from bimt_tf.core.layout import Layout
from bimt_tf.core.population import Connection
from bimt_tf.errors import InputError, require_kind, require_non_negative
from bimt_tf.figures.labels import shortened
from bimt_tf.figures.network_key import wrapped
from bimt_tf.figures.network_page import measure
from bimt_tf.figures.style import INK, MUTED, STYLE, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.scene.rows import BLOCK

__all__ = ["Matrix", "connectivity_figure", "matrices_of"]

PANEL, SQUAT = 1.25, 0.34  # inches: the longer side of a matrix, and the least of the shorter
GAP, PAIR, LEFT, TOP, BOTTOM = 0.2, 0.38, 0.55, 0.45, 0.5  # inches
CELLS = 128  # of a side, at most; larger matrices are drawn by the strongest weight of each cell
SIGNED = LinearSegmentedColormap.from_list("signed", [WIRE_NEGATIVE, "#FFFFFF", WIRE_POSITIVE])
MOST_ROWS, PER_ROW = 24, 6  # rows of matrices, matrices in one
MOST_NAMED = 16  # heads of a matrix
INDEX, NOTE = 4.8, 5.8  # font sizes, of a neuron's number and of notes


class Matrix(NamedTuple):
    """A matrix in an order of its neurons.

    ``values``: [source, target], each the weight of largest |w| of its cell (a cell is one weight unless a side has
    more than CELLS neurons), over ``largest``, the largest |w|. ``sources``, ``targets``: the neurons that are shown,
    from the first slot to the last. ``source_heads``, ``target_heads``: the head of each of them; () without heads.
    """

    parameter: str
    values: Float[np.ndarray, "source target"]
    largest: float
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    source_heads: tuple[int, ...]
    target_heads: tuple[int, ...]


@torch.no_grad()
def matrices_of(bimt: BIMT, layout: Layout, threshold: float = 0.0) -> dict[str, Matrix]:
    """Every connection's matrix with its neurons in the slots of ``layout``; copies of a folded one are added up.

    Neurons of a population that has no weight above the threshold in any matrix are left out.
    """
    layout.check(bimt.wiring)
    parameters, weights = bimt.parameters, {}
    touched = {name: np.zeros(own.size, dtype=bool) for name, own in bimt.wiring.populations.items()}
    for connection in bimt.wiring.connections:
        copies = connection.flatten(parameters[connection.parameter].detach().cpu())
        if not torch.isfinite(copies).all():
            raise InputError(
                f"parameter {connection.parameter!r} has weights that are not finite; they cannot be drawn"
            )
        above = copies.abs() > threshold
        for axis, stage in ((2, connection.source), (1, connection.target)):
            touched[stage.population] |= above.any(0).any(axis - 1).numpy()
        weights[connection.parameter] = torch.where(above, copies, 0).sum(0)
    found = {}
    for connection in bimt.wiring.connections:
        names = [stage.population for stage in connection.stages]
        source, target = (_shown(layout.order(name).numpy(), touched[name]) for name in names)
        ordered = weights[connection.parameter][source][:, target].numpy()
        cells = _strongest(_strongest(ordered).T).T
        largest = float(np.abs(cells).max()) if cells.size else 0.0
        found[connection.parameter] = Matrix(
            connection.parameter, cells / (largest or 1.0), largest, tuple(source.tolist()), tuple(target.tolist()),
            *(_heads(bimt, name, order) for name, order in zip(names, (source, target), strict=True)),
        )  # fmt: skip
    return found


def _shown(order: Int[np.ndarray, " n"], touched: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """The neurons that have a weight, in their order; all where none has."""
    return order[touched[order]] if touched.any() else order


def _strongest(values: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "cells m"]:
    """Rows by cells of neighbours: of each column the value of largest size."""
    if len(values) <= CELLS:
        return values
    edges = np.arange(CELLS) * len(values) // CELLS
    high, low = np.maximum.reduceat(values, edges), np.minimum.reduceat(values, edges)
    return np.where(high > -low, high, low)


def _heads(bimt: BIMT, name: str, order: Int[np.ndarray, " n"]) -> tuple[int, ...]:
    population = bimt.wiring.populations[name]
    return tuple((order // population.head_size).tolist()) if population.head_axis else ()


def connectivity_figure(
    bimt: BIMT, *, threshold: float = 0.0, before: Layout | None = None, title: str | None = None
) -> Figure:
    """Draw the present matrices twice: neurons where they stood before they moved, and where they stand now.

    Sources run upwards, targets to the right.

    Args:
        bimt: the model with its layout.
        threshold: weights of at most this size are drawn as zeros.
        before: where the neurons stood; by default each in the slot of its own number.
        title: above the figure.

    Raises:
        InputError: for what is no BIMT, a layout of another wiring, a negative threshold, or weights not finite.
    """
    require_kind("bimt", bimt, BIMT)
    require_non_negative("threshold", threshold)
    before = Layout.identity(bimt.wiring) if before is None else before
    orders = [matrices_of(bimt, layout, threshold) for layout in (before, bimt.layout)]
    rows = _rows(bimt)
    shown = rows if len(rows) <= MOST_ROWS else rows[:MOST_ROWS]
    columns = max(len(names) for _, names in shown)
    pair = 2 * (PANEL + PAIR) + 0.1
    width = LEFT + max(columns, 3) * (PANEL + GAP) + 0.1
    notes = _notes(width, threshold, len(rows) - len(shown))
    size = (width, TOP + 0.2 * bool(title) + len(shown) * pair + max(BOTTOM, 0.14 * len(notes) + 0.1))
    with rc_context(STYLE):
        figure = Figure(figsize=size)
        for i, (name, parameters) in enumerate(shown):
            for j, words in enumerate(("slots at the start", "slots now")):
                top = TOP + 0.2 * bool(title) + i * pair + j * (PANEL + PAIR)
                _name(figure, size, name, words, top)
                for column, parameter in enumerate(parameters):
                    corner = (LEFT + column * (PANEL + GAP), size[1] - top - PANEL)
                    axes = figure.add_axes((corner[0] / size[0], corner[1] / size[1], PANEL / size[0], PANEL / size[1]))
                    _draw(axes, bimt, orders[j][parameter])
        _key(figure, size, title, notes)
    return figure


def _rows(bimt: BIMT) -> list[tuple[str, list[str]]]:
    """(name, parameters) of each row of matrices: the blocks, and what stands before and after them."""

    def block(connection: Connection) -> str:
        found = BLOCK.match(connection.parameter)
        return f"block {found[1]}" if found else ""

    names: dict[str, list[Connection]] = {}
    for connection in bimt.wiring.connections:
        names.setdefault(block(connection), []).append(connection)
    ends = names.pop("", [])  # the embedding and the unembedding; all of a network without blocks
    rows = [*names.items(), *([("", ends)] if ends else [])]
    found = []
    for name, own in rows:
        ordered = sorted(own, key=lambda c: (c.target.depth, c.target.column, c.source.depth, c.source.column))
        found += [(name, [c.parameter for c in ordered[i : i + PER_ROW]]) for i in range(0, len(ordered), PER_ROW)]
    return found


def _name(figure: Figure, size: tuple[float, float], name: str, words: str, top: float) -> None:
    middle = (size[1] - top - PANEL / 2) / size[1]
    figure.text(0.14 / size[0], middle, f"{name}\n{words}" if name else words, rotation=90, ha="left", va="center",
                fontsize=6.5, color=MUTED, multialignment="center", linespacing=1.5, gid="order")  # fmt: skip


def _draw(axes: Axes, bimt: BIMT, matrix: Matrix) -> None:
    source, target = matrix.values.shape
    axes.imshow(matrix.values, cmap=SIGNED, vmin=-1, vmax=1, origin="lower", extent=(0, target, 0, source),
                aspect=_aspect(source, target), interpolation="nearest", gid=f"matrix {matrix.parameter}")  # fmt: skip
    axes.set(xticks=[], yticks=[], xlim=(0, target), ylim=(0, source), anchor="NW")
    # the box that the cells' aspect leaves of the panel
    wide, high = min(PANEL, PANEL * target / source / _aspect(source, target)), PANEL
    high = min(PANEL, wide * source * _aspect(source, target) / target)
    for axis, neurons, heads, cells, inches, line in (
        (axes.xaxis, matrix.targets, matrix.target_heads, target, wide, axes.axvline),
        (axes.yaxis, matrix.sources, matrix.source_heads, source, high, axes.axhline),
    ):
        _name_side(axis, axis is axes.xaxis, neurons, heads, cells, inches)
        for border in _borders(heads):
            line(cells * border / len(heads), color=INK, lw=0.6, gid="head border")
    axes.tick_params(length=0, pad=1.5, labelsize=INDEX, labelcolor=MUTED)
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.5)
    shape = next(c for c in bimt.wiring.connections if c.parameter == matrix.parameter)
    words = BLOCK.sub("", matrix.parameter).removesuffix(".original_component.weight")
    room = 72 * (PANEL + GAP) - 4
    axes.set_title(shortened(words, 6.5, room, measure), fontsize=6.5, pad=11, parse_math=False)
    sizes = [bimt.wiring.populations[stage.population].size for stage in shape.stages]
    drawn = [
        f"{shown:,}" if shown == size else f"{shown:,} of {size:,}"
        for shown, size in zip((len(matrix.sources), len(matrix.targets)), sizes, strict=True)
    ]
    said = f"max {matrix.largest:.2g}" if matrix.largest else "no weights"
    axes.text(0, 1.03, shortened(f"{drawn[0]} → {drawn[1]}, {said}", 5.6, room, measure),
              transform=axes.transAxes, fontsize=5.6, color=MUTED, va="bottom", gid="shape")  # fmt: skip


def _borders(heads: tuple[int, ...]) -> list[int]:
    """Where one head's neurons end and another's begin."""
    return [i for i in range(1, len(heads)) if heads[i] != heads[i - 1]]


def _name_side(
    axis: Axis, across: bool, neurons: tuple[int, ...], heads: tuple[int, ...], cells: int, inches: float
) -> None:
    """The numbers of heads where there are several, else of neurons: of all, or where they are too near, of some."""
    borders = _borders(heads)
    if 0 < len(borders) < MOST_NAMED:
        ends = [0, *borders, len(heads)]
        middles = [cells * (a + b) / 2 / len(heads) for a, b in pairwise(ends)]
        axis.set_ticks(middles, [str(heads[a]) for a in ends[:-1]])
    elif not borders and cells == len(neurons):
        longest = max(map(len, map(str, neurons)))
        needed = measure("0" * longest, INDEX)[0] + 1.5 if across else 1.17 * INDEX + 0.5
        step = max(1, math.ceil(needed * cells / (72 * inches)))
        axis.set_ticks([i + 0.5 for i in range(0, cells, step)], [str(neurons[i]) for i in range(0, cells, step)])


def _aspect(source: int, target: int) -> float:
    """Height over width of a cell: square cells, unless a side would be too small to be seen."""
    ratio = source / target
    least = SQUAT / PANEL
    return min(max(ratio, least), 1 / least) / ratio


def _notes(size: float, threshold: float, more: int) -> list[str]:
    """What the page says below, in lines for a figure of ``size`` inches."""
    words = f"Colours: w of the matrix's largest |w|{f', above {threshold:g}' if threshold else ''}."
    words += " Upwards: source, to the right: target. Numbers: neurons, or heads between lines."
    words += " Neurons without a weight in any matrix are left out, the same ones in both rows."
    if more:
        words += f" {more} more rows are not drawn."
    return wrapped(words, NOTE, 72 * (size - LEFT - 1.15))


def _key(figure: Figure, size: tuple[float, float], title: str | None, notes: list[str]) -> None:
    if title:
        figure.text(LEFT / size[0], 1 - 0.12 / size[1], shortened(title, 10, 72 * (size[0] - LEFT) / 1.16, measure),
                    fontsize=10, weight="bold", va="top", parse_math=False, gid="title")  # fmt: skip
    bar = figure.add_axes((LEFT / size[0], 0.3 / size[1], 0.9 / size[0], 0.07 / size[1]))
    figure.colorbar(ScalarMappable(Normalize(-1, 1), SIGNED), cax=bar, orientation="horizontal", ticks=[-1, 0, 1])
    bar.tick_params(labelsize=5.6, length=2, width=0.5)
    figure.text((LEFT + 1.05) / size[0], 0.08 / size[1], "\n".join(notes), fontsize=NOTE, color=MUTED, va="bottom",
                linespacing=1.4, gid="note")  # fmt: skip
