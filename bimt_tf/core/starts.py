"""Where a search for a layout begins besides the present one: placing populations one at a time ends in local optima.

Whole modules cannot move in such a search (the paper's limitation 3): each of a module's populations stays where its
neighbours hold it. A start from elsewhere reaches what they cannot:

- spectral: neurons in the order of the Fiedler vector of the strengths' graph, inside their population; parts of
  the graph that nothing joins lie side by side. In more dimensions, as many vectors as there are axes.
- modules: the graph's communities side by side, in the order that joins them by the least wire.
- grown: one population alone is ordered, spectrally or at random, and the others are placed outwards from it, each at
  the least cost to those that are placed already.
- perturbed: two neurons (or heads) of the best layout so far are exchanged, and the others grown from there.

Neurons without a wire have no say in any of them: they take the slots that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from bimt_tf.core.exact_search import arrange
from bimt_tf.core.ordering import Ordering, StrengthGraph, by_modules, by_spectrum, strength_graph
from bimt_tf.core.placement import Placement, Slots, movable_groups
from bimt_tf.core.population import Population

__all__ = ["other_starts"]

PERTURBED = 2  # perturbed starts after each grown one

Group = tuple[Population, ...]
T = TypeVar("T")


def other_starts(placement: Placement, best: Slots, generator: torch.Generator) -> Iterator[tuple[str, Slots]]:
    """Starts without end, as (kind, slots): spectral, modules, and then grown and perturbed ones in turn.

    Args:
        placement: the weights and distances that the search sees.
        best: the best layout so far; who takes the starts writes better ones into it.
        generator: draws what is random.
    """
    groups = [group for group in movable_groups(placement.wiring) if any(p.size > 1 for p in group)]
    if not groups:
        return
    ordered = list(_ordered_starts(placement, groups, best))
    yield from ((kind, _copy(slots)) for kind, slots in ordered)
    anchors = sorted(groups, key=lambda group: sum(np.count_nonzero(placement.score[p.name]) for p in group))
    ordered_anchors = [(slots, anchor) for anchor in anchors for _, slots in ordered]
    while True:
        if ordered_anchors:
            slots, anchor = ordered_anchors.pop(0)
        else:
            slots, anchor = _copy(best), _choice(groups, generator)
            _shuffle(slots, anchor, generator)
        yield "grown", _grown(placement, slots, anchor)
        for _ in range(PERTURBED):
            slots, anchor = _copy(best), _choice(groups, generator)
            _perturb(placement, slots, anchor, generator)
            yield "perturbed", _grown(placement, slots, anchor)


def _ordered_starts(placement: Placement, groups: list[Group], present: Slots) -> Iterator[tuple[str, Slots]]:
    """The starts that order all neurons at once, where the graph is small enough."""
    graph = strength_graph(placement)
    if graph is None:
        return
    moving = {p.name for group in groups for p in group}
    near = np.concatenate([placement.coordinates[name][present[name][live]] for name, live in graph.neurons.items()])
    anchored = np.concatenate([np.full(len(live), name not in moving) for name, live in graph.neurons.items()])
    spectral = by_spectrum(graph, near, anchored)
    yield "spectral", _ordered(graph, spectral, groups, placement.coordinates, present)
    modules = by_modules(graph, spectral)
    if modules is not None:
        yield "modules", _ordered(graph, modules, groups, placement.coordinates, present)


def _ordered(
    graph: StrengthGraph, ordering: Ordering, groups: list[Group], coordinates: Mapping[str, np.ndarray], present: Slots
) -> Slots:
    """The movable populations with their live neurons spread over the slots by rank, the others as they are."""
    slots, neurons = _copy(present), graph.of(ordering)
    for group in groups:
        tables = []
        for p in group:
            at, (live, places) = coordinates[p.name], neurons[p.name]
            table = np.zeros((p.size, p.size))  # squared distances from where a neuron is wished; 0 for dead ones
            for axis in range(at.shape[1] if len(live) else 0):
                rank = np.argsort(np.argsort(places[:, axis], kind="stable"))
                wished = np.quantile(at[:, axis], (rank + 0.5) / len(live))
                table[live] += (wished[:, None] - at[:, axis]) ** 2
            tables.append(table)
        slots.update(arrange(group, tables).slots)
    return slots


def _grown(placement: Placement, slots: Slots, anchor: Group) -> Slots:
    """The same slots for ``anchor`` and what is fixed; the others are placed outwards from there, exactly."""
    slots = _copy(slots)
    waiting = [group for group in movable_groups(placement.wiring) if group != anchor]
    placed = set(placement.neighbours) - {p.name for group in waiting for p in group}
    while waiting:
        group = max(waiting, key=lambda group: _strength(placement, group, placed))
        waiting.remove(group)
        near = {p.name: tuple(q for q in placement.neighbours[p.name] if q in placed) for p in group}
        seen = replace(placement, neighbours={**placement.neighbours, **near})
        slots.update(arrange(group, [seen.table(p.name, slots) for p in group]).slots)
        placed.update(near)
    return slots


def _strength(placement: Placement, group: Group, placed: set[str]) -> float:
    """How strongly a group is joined to what is placed."""
    return sum(
        float(placement.strength[p.name, q].sum()) for p in group for q in placement.neighbours[p.name] if q in placed
    )


def _perturb(placement: Placement, slots: Slots, group: Group, generator: torch.Generator) -> None:
    """Exchange two live neurons of one head, or, as often where there are several, two heads."""
    p = _choice([p for p in group if p.size > 1], generator)
    if p.heads > 1 and (p.head_size == 1 or torch.rand((), generator=generator) < 0.5):
        a, b = torch.randperm(p.heads, generator=generator)[:2].tolist()
        for q in group:
            by_head = slots[q.name].reshape(q.heads, q.head_size)
            by_head[[a, b]] = by_head[[b, a]]
        return
    first = p.head_size * int(torch.randint(p.heads, (), generator=generator))
    live = first + np.flatnonzero(placement.score[p.name][first : first + p.head_size])
    if len(live) > 1:
        a, b = live[torch.randperm(len(live), generator=generator)[:2].numpy()]
        slots[p.name][[a, b]] = slots[p.name][[b, a]]


def _shuffle(slots: Slots, group: Group, generator: torch.Generator) -> None:
    """Draw the slots of one group: heads exchange segments, neurons move inside."""
    segments = torch.randperm(group[0].heads, generator=generator)
    for p in group:
        inside = torch.stack([torch.randperm(p.head_size, generator=generator) for _ in range(p.heads)])
        slots[p.name] = (segments[:, None] * p.head_size + inside).flatten().numpy()


def _choice(of: Sequence[T], generator: torch.Generator) -> T:
    return of[int(torch.randint(len(of), (), generator=generator))]


def _copy(slots: Slots) -> Slots:
    return {name: own.copy() for name, own in slots.items()}
