"""The rows of a network's scene: which neurons stand where, at the true first coordinate of their slots.

One row a stage, from shallow to deep. Values stand twice, as what a head reads (V) and as what it writes (z, which W_O
reads), with the same slots. A population that several tokens are folded onto has a row for each token. Rows of one
depth stand on top of each other, so that every row has the whole width and every wire its true length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby, pairwise
from math import prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bimt_tf.analysis.active import values_of
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection, Stage
from bimt_tf.core.wiring import Wiring

__all__ = ["SHEAR", "WRITTEN", "HeadBox", "Places", "Row", "places_of", "rows_of", "tokens_of"]

STRIP = 0.44  # between rows of one depth, in units of the distance between two depths
LIFT = 1.5  # extent of a second coordinate, upwards
SHEAR = 0.055  # how far to the right a second coordinate puts a neuron, in plot widths a unit of its lift
MARGIN = 0.008  # of a head's box beyond its outermost neurons, at least; plot widths
BLOCK = re.compile(r"^blocks\.(\d+)\.")
TOKEN = re.compile(r"\[(\d+)\]")
WRITTEN = ":z"
"""Ends the name of the row of what heads write."""


class HeadBox(NamedTuple):
    """A head's stretch of a row: ``head``, and from where to where in x."""

    head: int
    left: float
    right: float


class Row(NamedTuple):
    """Neurons that stand beside each other.

    ``name``: of the row, by which the program knows it; ``stage``: the wiring's stage whose neurons these are;
    ``label``: a word for the reader; ``block``: the number of its block, or None; ``depth``: of the stage; ``y``:
    height, 1 between two depths. By
    neuron: ``x`` in [0, 1], the first coordinate of its slot; ``lift``, how far above y a second coordinate puts it
    (and to the right of x by SHEAR: an oblique projection);
    ``slots`` and ``heads`` (-1 without heads). ``boxes``: the heads' stretches from left to right.
    """

    name: str
    stage: str
    population: str
    label: str
    block: int | None
    depth: int
    y: float
    x: Float[np.ndarray, " n"]
    lift: Float[np.ndarray, " n"]
    slots: Int[np.ndarray, " n"]
    heads: Int[np.ndarray, " n"]
    boxes: tuple[HeadBox, ...]

    @property
    def size(self) -> int:
        """How many neurons."""
        return len(self.x)

    @property
    def title(self) -> str:
        """Its short name, where there is no room for a hook's: the label, and before it the block's number."""
        return self.label if self.block is None else f"block {self.block} {self.label}"

    @property
    def token(self) -> int | None:
        """The token whose neurons these are, where several are folded onto the population; None of all other rows."""
        found = TOKEN.fullmatch(self.name.removeprefix(self.stage))
        return int(found[1]) if found else None

    @property
    def written(self) -> bool:
        """Whether these are values as their heads write them."""
        return self.name.endswith(WRITTEN)

    @property
    def half(self) -> float:
        """How far its neurons reach above and below ``y``."""
        return float(np.abs(self.lift).max())


class Places(NamedTuple):
    """``x`` in [0, 1] and ``lift`` by population; ``scale``: plot widths a unit of length, None at width 0."""

    x: Mapping[str, Float[np.ndarray, " n"]]
    lift: Mapping[str, Float[np.ndarray, " n"]]
    scale: float | None


def places_of(bimt: BIMT) -> Places:
    """Where the neurons stand: one scale for all, so that a wire's drawn |dx| is its true one, scaled.

    Where the width is 0, or all first coordinates coincide, neurons stand by their slots.
    """
    places = {name: own.numpy() for name, own in bimt.places.items()}
    first = np.concatenate([own[:, 0] for own in places.values()])
    low, high = min(0.0, first.min()), max(float(bimt.geometry.width), first.max())
    flat = np.ptp(first) == 0 or high == low
    x = {
        name: (bimt.layout.of(name) + 0.5) / len(own) if flat else (own[:, 0] - low) / (high - low)
        for name, own in places.items()
    }
    lift = {name: _lift(own) for name, own in places.items()}
    return Places(x, lift, None if flat else 1 / (high - low))


def _lift(places: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, " n"]:
    if places.shape[1] == 1 or not (deep := np.ptp(places[:, 1])):
        return np.zeros(len(places))
    return np.asarray(LIFT * ((places[:, 1] - places[:, 1].min()) / deep - 0.5))


def tokens_of(connection: Connection, wiring: Wiring) -> int:
    """How many tokens a connection folds onto its source: 1 unless it reads the first row side by side."""
    source, target = (wiring.populations[stage.population] for stage in connection.stages)
    first = min(stage.depth for stage in wiring.stages)
    copies = prod(connection.shape) // (source.size * target.size)
    return copies if connection.source.depth == first and not source.head_axis and not target.head_axis else 1


def rows_of(bimt: BIMT, places: Places) -> tuple[Row, ...]:
    """The rows from bottom to top."""
    wiring, slots = bimt.wiring, bimt.layout
    tokens = {c.source.name: tokens_of(c, wiring) for c in wiring.connections}
    values = {stage.name for found in values_of(wiring).values() for stage in found}
    rows: list[Row] = []
    y = top = 0.0
    for _, group in groupby(sorted(wiring.stages, key=lambda s: (s.depth, s.column)), key=lambda s: s.depth):
        for place, (name, label, stage) in enumerate(_strips(list(group), values, tokens)):
            own = stage.population
            lift, heads = places.lift[own], _heads(wiring, stage)
            half = float(np.abs(lift).max())
            y = half if not rows else top + (1.0 if place == 0 else STRIP) + half
            top = y + half
            found = BLOCK.match(stage.name)
            rows.append(
                Row(
                    name, stage.name, own, label, int(found[1]) if found else None, stage.depth, y,
                    places.x[own], lift, slots.of(own), heads, _boxes(heads, places.x[own]),
                )
            )  # fmt: skip
    return tuple(rows)


def _strips(stages: list[Stage], values: set[str], tokens: Mapping[str, int]) -> list[tuple[str, str, Stage]]:
    """(name, label, stage) of the rows of one depth, from bottom to top; what heads write comes last."""
    strips = []
    for stage in stages:
        n = tokens.get(stage.name, 1)
        if n == 1:
            strips.append((stage.name, _word(stage.name), stage))
        else:
            strips += [(f"{stage.name}[{i}]", f"{_word(stage.name)}, token {i}", stage) for i in range(n)]
    written = [stage for stage in stages if stage.name in values]
    return strips + [(f"{stage.name}{WRITTEN}", "O (z)", stage) for stage in written]


def _word(stage: str) -> str:
    word = stage.rsplit(".", 1)[-1]
    return word.upper() if BLOCK.match(stage) and len(word) <= 3 else word


def _heads(wiring: Wiring, stage: Stage) -> Int[np.ndarray, " n"]:
    population = wiring.populations[stage.population]
    neurons = np.arange(population.size)
    return neurons // population.head_size if population.head_axis else np.full_like(neurons, -1)


def _boxes(heads: Int[np.ndarray, " n"], x: Float[np.ndarray, " n"]) -> tuple[HeadBox, ...]:
    """Each head's stretch from left to right; none where they overlap in x, or without heads."""
    if heads[0] < 0:
        return ()
    ordered = sorted((x[heads == h].min(), x[heads == h].max(), int(h)) for h in np.unique(heads))
    gaps = [(before[1], after[0]) for before, after in pairwise(ordered)]
    if any(left >= right for left, right in gaps):
        return ()
    pad = max([MARGIN, *((right - left) / 2 for left, right in gaps)])
    borders = [ordered[0][0] - pad, *((left + right) / 2 for left, right in gaps), ordered[-1][1] + pad]
    return tuple(
        HeadBox(head, float(left), float(right))
        for (*_, head), (left, right) in zip(ordered, pairwise(borders), strict=True)
    )
