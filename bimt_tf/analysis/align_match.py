"""The best matching of one group of populations: which neuron of another network stands for which of the reference.

Of all matchings that the symmetries allow (align_symmetry.py), the one of the greatest summed similarity, exactly:
neurons inside every pair of heads, then heads, as core/exact_search.py places them. Only active neurons take part; a
pair that is not similar at all (similarity 0 or less) is no pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bimt_tf.core.linear_assignment import assign
from bimt_tf.core.population import Population
from bimt_tf.core.wiring import Wiring

__all__ = ["NONE", "Matching", "full_order", "match_group", "random_matching"]

NONE = -1
"""The partner of a neuron that has none."""


class Matching(NamedTuple):
    """``partner``: population -> reference neuron -> neuron of the other network, ``NONE`` where there is none.

    ``heads``: group -> reference head -> head of the other network; every head has one.
    """

    partner: dict[str, np.ndarray]
    heads: dict[str, np.ndarray]


def match_group(
    group: tuple[Population, ...],
    similar: Sequence[np.ndarray],
    mine: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray],
) -> Matching:
    """Match the populations that share their heads, or one population alone.

    Args:
        group: the populations.
        similar: of each, how similar reference neuron a and the other's neuron b are, [neurons, neurons].
        mine: population -> which of the reference's neurons are active.
        others: the same of the other network.
    """
    heads, names = group[0].heads, group[0].group
    if not all(p.bakeable for p in group):
        own = {p.name: np.where(mine[p.name] & others[p.name], np.arange(p.size), NONE) for p in group}
        return Matching(own, {names: np.arange(heads)})
    worth = np.zeros((heads, heads))
    inside: dict[str, np.ndarray] = {}
    for p, table in zip(group, similar, strict=True):
        gain = np.where(mine[p.name][:, None] & others[p.name], np.maximum(table, 0.0), 0.0)
        blocks = gain.reshape(heads, p.head_size, heads, p.head_size).swapaxes(1, 2)
        if group[0].anchored:  # heads keep their numbers: only these pairs are looked at
            blocks = np.where(np.eye(heads, dtype=bool)[:, :, None, None], blocks, 0.0)
        found = np.array([[_inside(block, p.pinned) for block in row] for row in blocks])
        a, b, e = np.ogrid[:heads, :heads, : p.head_size]
        taken = blocks[a, b, e, found]
        worth += taken.sum(axis=2)
        inside[p.name] = np.where(taken > 0, found, NONE)
    chosen = np.arange(heads) if group[0].anchored or heads == 1 else assign(-worth)
    partner = {}
    for p in group:
        best = inside[p.name][np.arange(heads), chosen]
        partner[p.name] = np.where(best >= 0, chosen[:, None] * p.head_size + best, NONE).reshape(-1)
    return Matching(partner, {names: chosen})


def _inside(gain: np.ndarray, pinned: int) -> np.ndarray:
    """Neuron of one head -> neuron of another, the first ``pinned`` to those of their own number.

    The rows and columns that hold a gain are assigned; what is left is filled, at no gain.
    """
    places = np.arange(len(gain))
    free = gain[pinned:, pinned:]
    rows, columns = np.flatnonzero(free.any(1)), np.flatnonzero(free.any(0))
    if not len(rows):
        return places
    size = max(len(rows), len(columns))
    square = np.zeros((size, size))
    square[: len(rows), : len(columns)] = free[np.ix_(rows, columns)]
    chosen = assign(-square)[: len(rows)]
    matched = chosen < len(columns)
    taken = columns[chosen[matched]]
    order = np.full(len(free), NONE)
    order[rows[matched]] = taken
    order[order == NONE] = np.setdiff1d(np.arange(len(free)), taken)
    places[pinned:] = order + pinned
    return places


def full_order(wiring: Wiring, found: Matching, prefer: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Population -> reference neuron -> neuron of the other network, a permutation: those left over fill what is free.

    Args:
        wiring: of both networks.
        found: the matching.
        prefer: population -> neuron of the other network -> a number; those left over come in its order.
    """
    orders = {}
    for group in wiring.groups.values():
        heads = found.heads[group[0].group]
        for p in group:
            order = found.partner[p.name].copy()
            for head, other in enumerate(heads):
                mine = np.arange(head * p.head_size, (head + 1) * p.head_size)
                theirs = np.arange(other * p.head_size, (other + 1) * p.head_size)
                left = np.setdiff1d(theirs, order[mine])
                free = mine[order[mine] == NONE]
                if not p.bakeable:
                    order[free] = free
                    continue
                pinned = free[free % p.head_size < p.pinned]
                order[pinned] = other * p.head_size + pinned % p.head_size
                left = np.setdiff1d(left, order[pinned])
                rest = np.setdiff1d(free, pinned)
                order[rest] = left[np.argsort(prefer[p.name][left], kind="stable")]
            orders[p.name] = order
    return orders


def random_matching(
    wiring: Wiring,
    mine: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray],
    generator: np.random.Generator,
) -> Matching:
    """A matching of active neurons drawn within the same symmetries, whatever the neurons do."""
    partner: dict[str, np.ndarray] = {}
    heads: dict[str, np.ndarray] = {}
    for group in wiring.groups.values():
        noise = [generator.random((p.size, p.size)) + 1e-9 for p in group]
        found = match_group(group, noise, mine, others)
        partner |= found.partner
        heads |= found.heads
    return Matching({name: partner[name] for name in wiring.populations}, heads)
