"""The exact search for a layout: each population is assigned to its slots at the least cost, in sweeps.

Heads are placed by solving every (head, segment) pair inside and then the assignment of heads to segments. Populations
are swept until none improves; those of a large model until a sweep gains less than a hundredth of all that was gained.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from bimt_tf.core.linear_assignment import Prices, assign
from bimt_tf.core.placement import Placement, Slots, movable_groups
from bimt_tf.core.population import Population

__all__ = ["Arrangement", "arrange", "search_exactly"]


LARGE = 2**22  # beyond so many joined pairs of neurons a search ends before its fixed point:

SETTLED = 0.01  # once a sweep gains less than this share of all that was gained

NONE: Mapping[str, Prices] = {}


def search_exactly(placement: Placement, slots: Slots, tolerance: float) -> int:
    """Solve group after group exactly until none improves, or not by much; returns the sweeps it took."""
    waiting = movable_groups(placement.wiring)
    prices = {p.name: Prices() for group in waiting for p in group}
    group_of = {p.name: group for group in waiting for p in group}
    large = sum(strength.size for (p, q), strength in placement.strength.items() if p < q) > LARGE
    gained, sweeps = 0.0, 0
    while waiting:
        sweeps += 1
        gain = 0.0
        dirty: dict[str, tuple[Population, ...]] = {}
        for group in waiting:
            dirty.pop(group[0].group, None)
            if less := _solve(placement, slots, group, tolerance, prices):
                gain += less
                touched = (group_of.get(q) for p in group for q in placement.neighbours[p.name])
                dirty.update({g[0].group: g for g in touched if g is not None})
        gained += gain
        waiting = [] if large and gain < SETTLED * gained else list(dirty.values())
    return sweeps


class Arrangement(NamedTuple):
    """The best places of one group's populations at given tables, and what they cost together."""

    slots: Slots
    cost: float


def arrange(
    group: tuple[Population, ...], tables: list[np.ndarray], prices: Mapping[str, Prices] = NONE
) -> Arrangement:
    """Place one population, or the populations of one head axis, optimally.

    Args:
        group: the populations.
        tables: of each, what neuron a costs in slot b, [neurons, slots].
        prices: population -> those of an earlier placement (:func:`assign`); of populations without heads.
    """
    if group[0].heads == 1:  # the common case, without the cost of indexing four axes
        own = {p.name: assign(table, prices.get(p.name)) for table, p in zip(tables, group, strict=True)}
        return Arrangement(own, _price(group, tables, own))
    inside = [_inside(table, p) for table, p in zip(tables, group, strict=True)]
    price = inside[0].price if len(inside) == 1 else np.add.reduce([one.price for one in inside])
    heads, segments = _rows(group[0].heads), assign(price)
    slots = {
        p.name: (segments[:, None] * p.head_size + one.places[heads, segments]).reshape(-1)
        for p, one in zip(group, inside, strict=True)
    }
    return Arrangement(slots, float(price[heads, segments].sum()))


@cache
def _rows(n: int) -> np.ndarray:
    """0 to n - 1, made once."""
    rows = np.arange(n)
    rows.flags.writeable = False
    return rows


def _price(group: tuple[Population, ...], tables: list[np.ndarray], slots: Slots) -> float:
    """What the populations of a group cost in these slots, by their tables."""
    return sum(float(table[_rows(p.size), slots[p.name]].sum()) for table, p in zip(tables, group, strict=True))


def _solve(
    placement: Placement, slots: Slots, group: tuple[Population, ...], tolerance: float, prices: Mapping[str, Prices]
) -> float:
    """Place one group optimally, the others fixed; returns what that saved."""
    tables = [placement.table(p.name, slots) for p in group]
    before = _price(group, tables, slots)
    found = arrange(group, tables, prices)
    if not found.cost < before - tolerance:
        return 0.0
    slots.update(found.slots)
    return before - found.cost


class _Inside(NamedTuple):
    """The best places inside for every (head, segment), [heads, segments, head size], and their price."""

    places: np.ndarray
    price: np.ndarray


def _inside(table: np.ndarray, p: Population) -> _Inside:
    blocks = table.reshape(p.heads, p.head_size, p.heads, p.head_size).swapaxes(1, 2)
    places = np.empty((p.heads, p.heads, p.head_size), dtype=np.int64)
    for of_head, found in zip(blocks, places, strict=True):
        for segment, block in enumerate(of_head):
            found[segment] = assign(block)
    chosen = np.take_along_axis(blocks, places[..., None], axis=3)
    return _Inside(places, chosen.sum(axis=(2, 3)))
