"""The search for a better layout (paper, Section 2.2, Step 3). It returns a layout and writes nothing.

With every other population fixed, neuron a in slot b costs C[a, b] = sum over its connections of |W_a.| . d(b, .).
No connection joins a population to itself, so a permutation costs sum_a C[a, slot(a)]: a linear assignment.

- assignment: each population solved exactly (SciPy); heads by solving every (head, segment) pair inside and then
  the assignment of heads to segments; populations swept until none improves (a large model's until a sweep gains
  less than a hundredth of all that was gained).
- greedy: the paper's. The top k neurons by Eq. 5, each exchanged with the partner that lowers the cost most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.core.linear_assignment import assign
from bimt_tf.core.population import Connection, Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = ["Method", "Placement", "SwapReport", "search"]

Method = Literal["assignment", "greedy"]
Slots = dict[str, np.ndarray]

STRICT = 1e-12  # an improvement below this share of the cost is rounding, not progress
LARGE = 2**22  # beyond so many joined pairs of neurons a search ends before its fixed point:
SETTLED = 0.01  # once a sweep gains less than this share of all that was gained
CHUNK = 2**20  # entries of a parameter that are summed at once


class SwapReport(NamedTuple):
    """What a search found: the cost before and after, neurons that changed slots, sweeps over the populations."""

    cost_before: float
    cost_after: float
    moved: int
    sweeps: int


@dataclass(frozen=True)
class Placement:
    """The placement problem: how strongly neurons of each two populations are joined, and their slots' distances.

    ``strength[p, q]`` is the summed scale * |w| [neurons of p, neurons of q], ``distance[p, q]`` [slots, slots], both
    for (p, q) and (q, p); ``score[p]`` the summed |in| + |out| weights of each neuron (Eq. 5); ``constant`` what
    does not depend on the layout.
    """

    wiring: Wiring
    strength: Mapping[tuple[str, str], np.ndarray]
    distance: Mapping[tuple[str, str], np.ndarray]
    score: Mapping[str, np.ndarray]
    constant: float
    neighbours: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls,
        wiring: Wiring,
        geometry: Geometry,
        coordinates: Mapping[str, Tensor],
        scale: Mapping[str, float],
        parameters: Mapping[str, Tensor],
    ) -> Placement:
        """Read the problem off the weights, on the CPU in float64."""
        strength: dict[tuple[str, str], np.ndarray] = {}
        score = {name: np.zeros(p.size) for name, p in wiring.populations.items()}
        constant = 0.0
        for wired in wiring.wired:
            parameter = parameters[wired.parameter].detach()
            if not isinstance(wired, Connection):
                if wired.parameter in scale:
                    constant += scale[wired.parameter] * geometry.layer_gap * _sum_of_sizes(parameter)
                continue
            p, q = (stage.population for stage in wired.stages)
            sizes = wired.flatten(parameter.abs())
            joined = (sizes[0].double() if len(sizes) == 1 else sizes.sum(0, dtype=torch.float64)).cpu().numpy()
            del sizes
            score[p] += joined.sum(1)
            score[q] += joined.sum(0)
            if not wired.local:  # it counts for who is important (Eq. 5), and pulls nobody anywhere
                constant += scale[wired.parameter] * geometry.layer_gap * float(joined.sum())
                continue
            if (q, p) in strength:
                p, q, joined = q, p, joined.T
            joined *= scale[wired.parameter]
            if (p, q) in strength:
                strength[p, q] += joined
            else:
                strength[p, q] = joined
        distance = _distances(geometry, coordinates, strength)
        neighbours: dict[str, tuple[str, ...]] = {name: () for name in wiring.populations}
        for p, q in strength:
            neighbours[p] += (q,)
            neighbours[q] += (p,)
        strength.update({(q, p): matrix.T for (p, q), matrix in tuple(strength.items())})
        if not all(np.isfinite(s).all() for s in score.values()):
            raise InputError("the weights are not finite: neurons cannot be placed")
        return cls(wiring, strength, distance, score, constant, neighbours)

    def cost(self, slots: Slots) -> float:
        """The connection cost of a layout."""
        return self.constant + sum(
            float((matrix * self.distance[p, q][np.ix_(slots[p], slots[q])]).sum())
            for (p, q), matrix in self.strength.items()
            if p < q
        )

    def table(self, name: str, slots: Slots) -> np.ndarray:
        """C[a, b]: what neuron a of a population costs in slot b, the other populations fixed."""
        table = np.zeros((len(slots[name]), len(slots[name])))
        shared: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # neighbours at equal distances take one product
        for q in self.neighbours[name]:
            distance, joined = self.distance[name, q], self.strength[name, q][:, _inverse(slots[q])]
            if id(distance) in shared:
                shared[id(distance)][1][:] += joined
            else:
                shared[id(distance)] = distance, joined
        for distance, joined in shared.values():
            table += joined @ distance.T
        return table


def _sum_of_sizes(parameter: Tensor) -> float:
    """Sum of |w| in float64, a part at a time: a vocabulary's table is large."""
    rows = max(1, CHUNK // max(1, parameter[:1].numel()))
    return sum(float(part.abs().sum(dtype=torch.float64)) for part in parameter.split(rows))


def _distances(
    geometry: Geometry, coordinates: Mapping[str, Tensor], pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], np.ndarray]:
    """[slots, slots] of every pair, both ways; populations on the same coordinates share one matrix."""
    kinds = {name: (at.shape, at.numpy().tobytes()) for name, at in coordinates.items()}
    made: dict[tuple[Any, Any], np.ndarray] = {}
    found = {}
    for p, q in pairs:
        a, b = kinds[p], kinds[q]
        if (a, b) not in made:
            matrix = geometry.distance(coordinates[p], coordinates[q]).numpy()
            made[b, a] = matrix.T
            made[a, b] = matrix  # on the same coordinates distances are symmetric
        found[p, q], found[q, p] = made[a, b], made[b, a]
    return found


def _inverse(slots: np.ndarray) -> np.ndarray:
    """Slot -> neuron."""
    order = np.empty_like(slots)
    order[slots] = np.arange(len(slots))
    return order


def search(
    placement: Placement, layout: Layout, method: Method = "assignment", top_k: int = 30
) -> tuple[Layout, SwapReport]:
    """A layout of no higher cost. ``top_k`` (paper's k, neurons a population) is the greedy search's alone."""
    slots = {name: s.numpy().copy() for name, s in layout.slots.items()}
    before = placement.cost(slots)
    if method == "assignment":
        sweeps = _assign(placement, slots, STRICT * before)
    elif method == "greedy":
        if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
            raise InputError(f"top_k must be a whole number of at least 1, found {top_k!r}")
        sweeps = _exchange(placement, slots, top_k, STRICT * before)
    else:
        raise unknown("swap method", str(method), ("assignment", "greedy"))
    found = Layout({name: torch.from_numpy(s) for name, s in slots.items()})
    return found, SwapReport(before, placement.cost(slots), found.moved(layout), sweeps)


def _movable(wiring: Wiring) -> list[tuple[Population, ...]]:
    return [group for group in wiring.groups.values() if all(p.movable for p in group)]


def _assign(placement: Placement, slots: Slots, tolerance: float) -> int:
    """Solve group after group exactly until none improves, or not by much; returns the sweeps it took."""
    waiting = _movable(placement.wiring)
    group_of = {p.name: group for group in waiting for p in group}
    large = sum(strength.size for (p, q), strength in placement.strength.items() if p < q) > LARGE
    gained, sweeps = 0.0, 0
    while waiting:
        sweeps += 1
        gain = 0.0
        dirty: dict[str, tuple[Population, ...]] = {}
        for group in waiting:
            dirty.pop(group[0].group, None)
            if less := _solve(placement, slots, group, tolerance):
                gain += less
                touched = (group_of.get(q) for p in group for q in placement.neighbours[p.name])
                dirty.update({g[0].group: g for g in touched if g is not None})
        gained += gain
        waiting = [] if large and gain < SETTLED * gained else list(dirty.values())
    return sweeps


def _solve(placement: Placement, slots: Slots, group: tuple[Population, ...], tolerance: float) -> float:
    """Place one population, or the populations of one head axis, optimally; returns what that saved."""
    tables = [placement.table(p.name, slots) for p in group]
    before = sum(t[np.arange(p.size), slots[p.name]].sum() for t, p in zip(tables, group, strict=True))
    inside = [_inside(table, p) for table, p in zip(tables, group, strict=True)]
    price = np.sum([price for _, price in inside], axis=0)
    heads = np.arange(group[0].heads)
    segments = assign(price)
    after = price[heads, segments].sum()
    if not after < before - tolerance:
        return 0.0
    for p, (places, _) in zip(group, inside, strict=True):
        slots[p.name][:] = (segments[:, None] * p.head_size + places[heads, segments]).reshape(-1)
    return float(before - after)


def _inside(table: np.ndarray, p: Population) -> tuple[np.ndarray, np.ndarray]:
    """The best places inside for every (head, segment), [heads, segments, head size], and their price."""
    if p.heads == 1:  # the common case, without the cost of indexing four axes
        places = assign(table)
        return places[None, None], table[np.arange(p.size), places].sum().reshape(1, 1)
    blocks = table.reshape(p.heads, p.head_size, p.heads, p.head_size).swapaxes(1, 2)
    places = np.array([[assign(block) for block in of_head] for of_head in blocks])
    head, segment, neuron = np.ogrid[: p.heads, : p.heads, : p.head_size]
    return places, blocks[head, segment, neuron, places].sum(axis=2)


def _exchange(placement: Placement, slots: Slots, top_k: int, tolerance: float) -> int:
    """The paper's Step 3 once over all populations: neurons inside their heads, then whole heads."""
    for group in _movable(placement.wiring):
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
