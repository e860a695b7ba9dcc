"""All live neurons in spectral order, by how strongly they are joined: for the starts of a search (starts.py).

The graph's nodes are the live neurons of all populations, its edges the summed scale * |w| between two of them. The
second eigenvector of its normalised Laplacian, divided by the roots of the degrees, is the Fiedler vector: neurons
that are joined strongly stand close together in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from bimt_tf.core.placement import Placement

__all__ = ["Ordering", "StrengthGraph", "spectral_ordering", "strength_graph"]

MOST_NEURONS = 2048  # the eigenvectors of more take longer than many searches

Ordering = Float[np.ndarray, "live dims"]
"""Where each live neuron would stand among all; only the ranks along each axis count."""


class StrengthGraph(NamedTuple):
    """The live neurons, population after population, and how strongly they are joined."""

    neurons: dict[str, Int64[np.ndarray, " live_of_population"]]
    joined: Float[np.ndarray, "live live"]

    def by_population(self, ordering: Ordering) -> dict[str, tuple[np.ndarray, Ordering]]:
        """Population -> its live neurons and their part of the ordering."""
        ends = np.cumsum([len(live) for live in self.neurons.values()])[:-1]
        parts = zip(self.neurons.values(), np.split(ordering, ends), strict=True)
        return dict(zip(self.neurons, parts, strict=True))


def strength_graph(placement: Placement) -> StrengthGraph | None:
    """The graph of a placement problem; None if no neuron is live, or more than ``MOST_NEURONS`` are."""
    alive = {name: np.zeros(len(score), dtype=bool) for name, score in placement.score.items()}
    for (p, _), strength in placement.strength.items():
        alive[p] |= strength.any(axis=1)
    neurons = {name: np.flatnonzero(live) for name, live in alive.items()}
    ends = np.cumsum([0, *map(len, neurons.values())])
    if not 0 < ends[-1] <= MOST_NEURONS:
        return None
    part = {name: slice(*between) for name, between in zip(neurons, zip(ends, ends[1:], strict=False), strict=True)}
    joined = np.zeros((ends[-1], ends[-1]))
    for (p, q), strength in placement.strength.items():
        joined[part[p], part[q]] = strength[np.ix_(neurons[p], neurons[q])]
    return StrengthGraph(neurons, joined)


def spectral_ordering(graph: StrengthGraph, near: Ordering, fixed: Bool[np.ndarray, " live"]) -> Ordering:
    """The ranks in the Fiedler vectors; parts of the graph that nothing joins stand side by side along the first axis.

    Args:
        graph: the live neurons and how strongly they are joined.
        near: where the neurons stand now. As many vectors are taken as it has dimensions. An eigenvector has no sign,
            and unjoined parts no order: both are chosen to agree with this.
        fixed: the neurons that cannot move; where a part has some, agreement with these alone counts.
    """
    from scipy.sparse.csgraph import connected_components  # takes a second, which opening a run need not wait for

    parts_found, part_of = connected_components(graph.joined, directed=False)
    parts = [np.flatnonzero(part_of == part) for part in range(parts_found)]
    known = [part[fixed[part]] if fixed[part].any() else part for part in parts]
    ordering, begin = np.empty_like(near), 0
    for number in np.argsort([near[those, 0].mean() for those in known], kind="stable"):
        part = parts[number]
        vectors = _fiedler_vectors(graph.joined[np.ix_(part, part)], near.shape[1])
        agreeing = np.isin(part, known[number])
        for axis, vector in enumerate(vectors.T):
            now = near[part, axis][agreeing]
            turned = vector if vector[agreeing] @ (now - now.mean()) >= 0 else -vector
            rank = np.argsort(np.argsort(turned, kind="stable"))
            ordering[part, axis] = rank + begin if axis == 0 else rank / len(part)
        begin += len(part)
    return ordering


def _fiedler_vectors(joined: np.ndarray, dims: int) -> np.ndarray:
    """The first ``dims`` eigenvectors after the constant one, [nodes, dims]; zeros where there are no more.

    Zeros too where strengths lie so far apart (a network that has diverged) that their ratios are no numbers.
    """
    from scipy.linalg import eigh

    found = np.zeros((len(joined), dims))
    with np.errstate(all="ignore"):
        degrees = np.sqrt(joined.sum(axis=1))
        normalised = -joined / np.outer(degrees, degrees)
    if not np.isfinite(normalised).all():
        return found
    kept = min(dims, len(joined) - 1)
    _, vectors = eigh(normalised, subset_by_index=[0, kept])
    found[:, :kept] = vectors[:, 1:] / degrees[:, None]
    return found
