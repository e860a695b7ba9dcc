"""Orders of all neurons at once, by how strongly they are joined: for the starts of a search (starts.py).

The graph's nodes are the live neurons of all populations, its edges the summed scale * |w| between two neurons. The
second eigenvector of its normalised Laplacian, divided by the root of the degrees, is the Fiedler vector: neurons that
are joined strongly stand close together in it.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from bimt_tf.core.placement import Placement

__all__ = ["Ordering", "StrengthGraph", "by_modules", "by_spectrum", "strength_graph"]

MOST_NEURONS = 2048  # the eigenvectors of more take longer than many searches
MOST_EDGES = 4096  # and so do the communities of a denser graph
MOST_MODULES = 6  # up to so many, every order of theirs is tried

Ordering = Float[np.ndarray, "live dims"]
"""Where each live neuron would be among all; only the ranks along each axis count."""


class StrengthGraph(NamedTuple):
    """The live neurons and how strongly they are joined."""

    neurons: dict[str, Int64[np.ndarray, " of_population"]]
    """Population -> its live neurons; the graph's nodes are these, population after population."""
    joined: Float[np.ndarray, "live live"]

    def of(self, ordering: Ordering) -> dict[str, tuple[np.ndarray, Ordering]]:
        """Population -> its live neurons and their part of the ordering."""
        ends = np.cumsum([len(live) for live in self.neurons.values()])[:-1]
        return dict(zip(self.neurons, zip(self.neurons.values(), np.split(ordering, ends), strict=True), strict=True))


def strength_graph(placement: Placement) -> StrengthGraph | None:
    """The graph of a placement problem; None if its live neurons are more than ``MOST_NEURONS``, or none."""
    alive = {name: np.zeros(len(score), dtype=bool) for name, score in placement.score.items()}
    for (p, _), strength in placement.strength.items():
        alive[p] |= strength.any(axis=1)
    neurons = {name: np.flatnonzero(live) for name, live in alive.items()}
    if not 0 < sum(map(len, neurons.values())) <= MOST_NEURONS:
        return None
    blocks = [
        [
            placement.strength[p, q][np.ix_(of_p, of_q)]
            if (p, q) in placement.strength
            else np.zeros((of_p.size, of_q.size))
            for q, of_q in neurons.items()
        ]
        for p, of_p in neurons.items()
    ]
    return StrengthGraph(neurons, np.block(blocks))


def by_spectrum(graph: StrengthGraph, near: Ordering, anchored: np.ndarray) -> Ordering:
    """The Fiedler vectors, ranked; parts of the graph that nothing joins side by side along the first axis.

    Args:
        graph: of the strengths.
        near: where the neurons are now, [live, dims]. As many vectors are taken as it has dimensions, each turned, and
            the parts ordered, so that they agree best with it.
        anchored: bool [live], the neurons that cannot move; agreement with these counts alone where there are any.
    """
    from scipy.sparse.csgraph import connected_components

    _, part_of = connected_components(graph.joined, directed=False)
    parts = [np.flatnonzero(part_of == part) for part in range(part_of.max() + 1)]
    told = [part[anchored[part]] if anchored[part].any() else part for part in parts]  # whose present places count
    ordering, begin = np.empty_like(near), 0
    for number in np.argsort([near[those, 0].mean() for those in told], kind="stable"):
        part, those = parts[number], np.isin(parts[number], told[number])
        for axis, vector in enumerate(_fiedler(graph.joined[np.ix_(part, part)], near.shape[1]).T):
            now = near[part[those], axis]
            agreement = float(vector[those] @ (now - now.mean()))
            rank = np.argsort(np.argsort(vector if agreement >= 0 else -vector, kind="stable"))
            ordering[part, axis] = rank + begin if axis == 0 else rank / len(part)
        begin += len(part)
    return ordering


def by_modules(graph: StrengthGraph, spectral: Ordering) -> Ordering | None:
    """Communities side by side in the order of least wire between them, each in its spectral order.

    None for a graph of more than ``MOST_EDGES`` edges, or of a single community.
    """
    if np.count_nonzero(graph.joined) > 2 * MOST_EDGES:
        return None
    import networkx as nx

    found = nx.community.greedy_modularity_communities(nx.from_numpy_array(graph.joined), weight="weight")
    modules = sorted((sorted(module) for module in found), key=lambda module: float(spectral[module, 0].mean()))
    if len(modules) < 2:
        return None
    member = np.zeros((len(spectral), len(modules)))
    for number, module in enumerate(modules):
        member[module, number] = 1
    place = np.arange(len(modules))
    if len(modules) <= MOST_MODULES:
        between = member.T @ graph.joined @ member
        orders = (np.array(order) for order in permutations(range(len(modules))))
        place = min(orders, key=lambda order: float((between * np.abs(order[:, None] - order)).sum()))
    ordering = spectral.copy()
    ordering[:, 0] += member @ place * len(spectral)
    return ordering


def _fiedler(joined: np.ndarray, dims: int) -> np.ndarray:
    """The first ``dims`` eigenvectors after the constant one, [nodes, dims]; zeros where there are no more."""
    from scipy.linalg import eigh

    degrees = np.sqrt(joined.sum(axis=1))
    kept = min(dims, len(joined) - 1)
    _, vectors = eigh(-joined / np.outer(degrees, degrees), subset_by_index=[0, kept])
    found = np.zeros((len(joined), dims))
    found[:, :kept] = vectors[:, 1:] / degrees[:, None]
    return found
