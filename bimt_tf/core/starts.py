"""Where a search for a layout begins besides the present one.

Populations placed one at a time end in local optima: a whole module cannot change sides, since each of its populations
is held where it is by the others (the paper's limitation 3). Other starts end in other optima:

- spectral: the neurons of each population in the order of the Fiedler vectors of all neurons (spectral.py).
- grown: one population alone is ordered, spectrally or at random, and the others are placed outwards from it, each at
  the least cost to those that are placed already. So whole modules follow the order of one population.
- perturbed: two neurons or two heads of the best layout so far are exchanged, and the others grown from there.

Dead neurons have no say in any of them: they take the slots that are left. Uniformly random starts, and communities
laid side by side, were measured too, and are not here: docs/mathematics.md says how they did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from bimt_tf.core.exact_search import arrange
from bimt_tf.core.placement import Placement, Slots, movable_groups
from bimt_tf.core.population import Population
from bimt_tf.core.spectral import Ordering, spectral_ordering, strength_graph

__all__ = ["other_starts"]

PERTURBED = 2  # perturbed starts after each grown one

Group = tuple[Population, ...]
T = TypeVar("T")


def other_starts(placement: Placement, best: Slots, generator: torch.Generator) -> Iterator[tuple[str, Slots]]:
    """Starts without end, as (kind, slots): a spectral one, then grown and perturbed ones in turn.

    Args:
        placement: the weights and distances that the search sees.
        best: the best layout so far; who takes the starts writes better ones into it.
        generator: draws what is random.
    """
    groups = [group for group in movable_groups(placement.wiring) if any(p.size > 1 for p in group)]
    if not groups:
        return
    ordered = _spectral(placement, groups, best)
    anchors = sorted(groups, key=lambda group: sum(np.count_nonzero(placement.score[p.name]) for p in group))
    if ordered is None:
        anchors.clear()
    else:
        yield "spectral", _copy(ordered)
    while True:
        if ordered is not None and anchors:
            slots, anchor = ordered, anchors.pop(0)
        else:
            slots, anchor = _copy(best), _choice(groups, generator)
            _shuffle(slots, anchor, generator)
        yield "grown", _grown(placement, slots, anchor)
        for _ in range(PERTURBED):
            slots, anchor = _copy(best), _choice(groups, generator)
            _perturb(placement, slots, anchor, generator)
            yield "perturbed", _grown(placement, slots, anchor)


def _spectral(placement: Placement, groups: list[Group], present: Slots) -> Slots | None:
    """The movable populations with their live neurons spread over the slots in spectral order, the others as they are.

    None where the graph is too large. A neuron wishes for the place that its rank has among the coordinates of the
    slots, along each axis; what a slot costs it is the squared distance from there, and heads go by their sum.
    """
    graph = strength_graph(placement)
    if graph is None:
        return None
    moving = {p.name for group in groups for p in group}
    near = np.concatenate([placement.coordinates[name][present[name][live]] for name, live in graph.neurons.items()])
    fixed = np.concatenate([np.full(len(live), name not in moving) for name, live in graph.neurons.items()])
    neurons = graph.by_population(spectral_ordering(graph, near, fixed))
    slots = _copy(present)
    for group in groups:
        tables = [_wishes(p, placement.coordinates[p.name], *neurons[p.name]) for p in group]
        slots.update(arrange(group, tables).slots)
    return slots


def _wishes(p: Population, at: np.ndarray, live: np.ndarray, places: Ordering) -> np.ndarray:
    """What each slot costs each neuron by its rank, [neurons, slots]; to a dead neuron all are one."""
    table = np.zeros((p.size, p.size))
    for axis in range(at.shape[1] if len(live) else 0):
        rank = np.argsort(np.argsort(places[:, axis], kind="stable"))
        wished = np.quantile(at[:, axis], (rank + 0.5) / len(live))
        table[live] += (wished[:, None] - at[:, axis]) ** 2
    return table


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
