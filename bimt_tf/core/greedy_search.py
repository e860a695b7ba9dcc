"""The paper's search for a layout (Section 2.2, Step 3): the most important neurons are exchanged greedily.

The top k neurons of a population by Eq. 5 are each exchanged with the partner that lowers the connection cost most, if
any does; then whole heads by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bimt_tf.core.placement import Placement, Slots, movable_groups
from bimt_tf.core.population import Population

__all__ = ["exchange_greedily"]


def exchange_greedily(placement: Placement, slots: Slots, top_k: int, tolerance: float) -> int:
    """The paper's Step 3 once over all populations: neurons inside their heads, then whole heads."""
    for group in movable_groups(placement.wiring):
        tables = {p.name: placement.table(p.name, slots) for p in group}
        for p in group:
            score, own, table = placement.score[p.name], slots[p.name], tables[p.name]
            for j in np.argsort(-score, kind="stable")[:top_k]:
                first = j - j % p.head_size
                partners = np.arange(first, first + p.head_size)
                _swap_best(table, own, j, partners, tolerance)
        heads = group[0].heads
        if heads > 1:
            _exchange_heads(placement, slots, group, tables, top_k, tolerance)
    return 1


def _swap_best(table: np.ndarray, own: np.ndarray, j: int, partners: np.ndarray, tolerance: float) -> None:
    """Exchange the slots of row j and of the partner that lowers the cost most, if any does."""
    change = table[j, own[partners]] + table[partners, own[j]] - table[j, own[j]] - table[partners, own[partners]]
    best = partners[np.argmin(change)]
    if change.min() < -tolerance:
        own[j], own[best] = own[best], own[j]


def _exchange_heads(
    placement: Placement,
    slots: Slots,
    group: tuple[Population, ...],
    tables: Mapping[str, np.ndarray],
    top_k: int,
    tolerance: float,
) -> None:
    """Whole heads, by the same rule: their order inside stays, their segments are exchanged."""
    heads = group[0].heads
    price = np.zeros((heads, heads))
    score = np.zeros(heads)
    for p in group:
        inside = (slots[p.name] % p.head_size).reshape(heads, p.head_size)
        blocks = tables[p.name].reshape(heads, p.head_size, heads, p.head_size)
        score += placement.score[p.name].reshape(heads, p.head_size).sum(1)
        for h in range(heads):
            price[h] += blocks[h, np.arange(p.head_size), :, inside[h]].sum(0)
    segments = slots[group[0].name][:: group[0].head_size] // group[0].head_size
    for h in np.argsort(-score, kind="stable")[:top_k]:
        _swap_best(price, segments, h, np.arange(heads), tolerance)
    for p in group:
        inside = (slots[p.name] % p.head_size).reshape(heads, p.head_size)
        slots[p.name][:] = (segments[:, None] * p.head_size + inside).reshape(-1)
