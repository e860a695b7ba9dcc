"""Similarity of neurons by their weights (Ainsworth, Hayase and Srinivasa, 2023, "Git Re-Basin", Algorithm 1).

The matching that makes the sum over all tensors of <W_reference, P W_other P'> greatest is searched for group by group:
with every other population matched, how well neuron a of the reference goes with neuron b is a matrix product, and the
best matching of the group is found exactly (align_match.py). Groups are visited until the sum rises no more. The search
begins from inputs and outputs, whose names are known, inwards, and again from random matchings; the best is kept.
Signs, where they are free, are chosen with the pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimt_tf.analysis.align_match import NONE, Matching, match_group, random_matching
from bimt_tf.analysis.align_symmetry import Sparse
from bimt_tf.core.population import Population

__all__ = ["match_weights", "weight_cosines"]

STARTS = 3
"""Random matchings that a search begins from, besides that from the inputs and outputs."""
MOST_SWEEPS = 100
STRICT = 1e-9  # of the sum: what rises by less does not rise

Signs = dict[str, np.ndarray]


class _Found(NamedTuple):
    matching: Matching
    signs: Signs
    total: float


def match_weights(
    mine: Sparse, other: Sparse, signs: frozenset[str], generator: np.random.Generator, starts: int = STARTS
) -> tuple[Matching, Signs]:
    """The matching of two networks' weights, and population -> the sign of each reference neuron's partner.

    Args:
        mine: the reference.
        other: the other network.
        signs: the populations whose neurons may change sign.
        generator: draws the random starts.
        starts: how many.
    """
    wiring = mine.bimt.wiring
    best = _climb(mine, other, signs, None)
    for _ in range(starts):
        found = _climb(mine, other, signs, random_matching(wiring, mine.active, other.active, generator))
        if found.total > best.total + STRICT * abs(best.total):
            best = found
    return best.matching, best.signs


def weight_cosines(mine: Sparse, other: Sparse, matching: Matching, signs: Signs) -> dict[str, np.ndarray]:
    """Population -> cosine of all weights and biases of each reference neuron with its partner's, 0 without one."""
    moved = {name: _signed(matching, signs, name) for name in matching.partner}
    found = {}
    for name, partner in matching.partner.items():
        products = _scores(mine, other, name, moved)[np.arange(len(partner)), partner] * signs[name]
        lengths = np.sqrt(_squares(mine)[name] * _squares(other)[name][partner])
        cosines = np.divide(products, lengths, out=np.zeros(len(partner)), where=lengths > 0)
        found[name] = np.where(partner == NONE, 0.0, cosines)
    return found


class _Moved(NamedTuple):
    """Reference neuron -> the other's neuron and its sign; sign 0 for a neuron without a partner."""

    partner: np.ndarray
    sign: np.ndarray


def _signed(matching: Matching, signs: Signs, name: str) -> _Moved:
    partner = matching.partner[name]
    return _Moved(np.maximum(partner, 0), np.where(partner == NONE, 0.0, signs[name]))


def _climb(mine: Sparse, other: Sparse, signs: frozenset[str], start: Matching | None) -> _Found:
    """Visit the groups until the sum over all tensors rises no more; without a start, what is unmatched counts 0."""
    wiring = mine.bimt.wiring
    partner = {n: np.full(p.size, NONE) for n, p in wiring.populations.items()} if start is None else start.partner
    known = {n: np.ones(p.size) for n, p in wiring.populations.items()}
    at = Matching(dict(partner), {} if start is None else dict(start.heads))
    for group in wiring.groups.values():
        if not all(p.bakeable for p in group):
            fixed = match_group(group, [np.zeros((p.size, p.size)) for p in group], mine.active, other.active)
            at.partner.update(fixed.partner)
            at.heads.update(fixed.heads)
    free = [group for group in wiring.groups.values() if all(p.bakeable for p in group)]
    total = -np.inf
    for _ in range(MOST_SWEEPS):
        for group in free:
            _solve(mine, other, signs, group, at, known)
        now = _total(mine, other, at, known)
        if now <= total + STRICT * abs(total):
            break
        total = now
    return _Found(at, known, total)


def _solve(
    mine: Sparse, other: Sparse, signs: frozenset[str], group: tuple[Population, ...], at: Matching, known: Signs
) -> None:
    """Match one group, the others as they are."""
    moved = {name: _signed(at, known, name) for name in at.partner}
    scores = [_scores(mine, other, p.name, moved) for p in group]
    similar = [np.abs(table) if p.name in signs else table for p, table in zip(group, scores, strict=True)]
    found = match_group(group, similar, mine.active, other.active)
    at.partner.update(found.partner)
    at.heads.update(found.heads)
    for p, table in zip(group, scores, strict=True):
        if p.name in signs:
            chosen = table[np.arange(p.size), np.maximum(found.partner[p.name], 0)]
            known[p.name] = np.where(chosen < 0, -1.0, 1.0)


def _scores(mine: Sparse, other: Sparse, name: str, moved: dict[str, _Moved]) -> np.ndarray:
    """How well every reference neuron's weights go with every other's, all other populations matched."""
    wiring = mine.bimt.wiring
    size = wiring.populations[name].size
    total = np.zeros((size, size))
    for c in wiring.connections:
        here, there = c.source.population, c.target.population
        if name not in (here, there):
            continue
        mine_w, other_w = mine.weights[c.parameter], other.weights[c.parameter]
        if name == there:
            mine_w, other_w, there = mine_w.swapaxes(1, 2), other_w.swapaxes(1, 2), here
        partner, sign = moved[there]
        moved_w = other_w[:, :, partner] * sign
        for here_w, there_w in zip(mine_w, moved_w, strict=True):
            total += here_w @ there_w.T
    for a in wiring.attachments:
        if a.stage.population == name:
            total += mine.vectors[a.parameter].T @ other.vectors[a.parameter]
    return total


def _total(mine: Sparse, other: Sparse, at: Matching, known: Signs) -> float:
    """The sum over all tensors; each connection is met at its source, each vector at its population."""
    wiring = mine.bimt.wiring
    moved = {name: _signed(at, known, name) for name in at.partner}
    total = 0.0
    for c in wiring.connections:
        p, q = moved[c.source.population], moved[c.target.population]
        there = other.weights[c.parameter][:, p.partner][:, :, q.partner] * (p.sign[:, None] * q.sign)
        total += float(np.vdot(mine.weights[c.parameter], there))
    for a in wiring.attachments:
        p = moved[a.stage.population]
        total += float(np.vdot(mine.vectors[a.parameter], other.vectors[a.parameter][:, p.partner] * p.sign))
    return total


def _squares(network: Sparse) -> dict[str, np.ndarray]:
    """Population -> summed squares of each neuron's weights, in, out and its own."""
    wiring = network.bimt.wiring
    found = {name: np.zeros(p.size) for name, p in wiring.populations.items()}
    for c in wiring.connections:
        squares = network.weights[c.parameter] ** 2
        found[c.source.population] += squares.sum((0, 2))
        found[c.target.population] += squares.sum((0, 1))
    for a in wiring.attachments:
        found[a.stage.population] += (network.vectors[a.parameter] ** 2).sum(0)
    return found
