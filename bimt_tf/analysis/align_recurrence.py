"""Edges and modules of a matched network in the reference's names, and how far they are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import networkx as nx
import numpy as np

from bimt_tf.analysis.align_match import NONE, Matching
from bimt_tf.analysis.align_symmetry import Sparse
from bimt_tf.analysis.modularity import communities
from bimt_tf.core.population import Node

__all__ = ["MOST_EDGES", "Parts", "agreement", "edges_of", "fits", "large", "overlap", "parts_of"]

MOST_EDGES = 5_000
"""Active weights beyond which modules are not looked for: every rewired copy has its own."""
SMALLEST = 3
"""Neurons of a module, at least; fewer are a wire."""

Edge = tuple[str, int, int]
"""(parameter, source neuron, target neuron)."""
Parts = list[frozenset[Node]]
"""Modules as sets of (population, neuron)."""


def edges_of(network: Sparse, matching: Matching | None = None) -> tuple[set[Edge], int]:
    """The active weights, those of copies as one, and how many have no place in the reference's names.

    Args:
        network: the network.
        matching: to the reference, whose names are then used.
    """
    names = None if matching is None else names_of_reference(matching)
    found: set[Edge] = set()
    lost = 0
    for c in network.bimt.wiring.connections:
        sources, targets = network.weights[c.parameter].any(0).nonzero()
        if names is not None:
            sources, targets = names[c.source.population][sources], names[c.target.population][targets]
        known = (sources != NONE) & (targets != NONE)
        lost += int((~known).sum())
        found |= {(c.parameter, s, t) for s, t in zip(sources[known].tolist(), targets[known].tolist(), strict=True)}
    return found, lost


def overlap(mine: Sparse, other: Sparse, matching: Matching) -> float:
    """Active weights that both have over those that either has; one whose neurons have no partner is shared by none."""
    own, (theirs, lost) = edges_of(mine)[0], edges_of(other, matching)
    either = len(own | theirs) + lost
    return len(own & theirs) / either if either else 1.0


def parts_of(network: Sparse) -> Parts:
    """The modules of the active part by greedy modularity; isolated neurons are in none."""
    graph = nx.Graph()
    for c in network.bimt.wiring.connections:
        sizes = np.abs(network.weights[c.parameter]).sum(0)
        for s, t in zip(*(axis.tolist() for axis in sizes.nonzero()), strict=True):
            u, v = (c.source.population, s), (c.target.population, t)
            present = graph.edges[u, v]["weight"] if graph.has_edge(u, v) else 0.0
            graph.add_edge(u, v, weight=present + float(sizes[s, t]))
    return cast(Parts, communities(graph))


def agreement(mine: Parts, other: Parts, matching: Matching) -> float:
    """Adjusted mutual information of two divisions, of the neurons that both have: 0 by chance, 1 for the same."""
    from sklearn.metrics import adjusted_mutual_info_score

    theirs = _numbers(_renamed(other, matching))
    both = [(number, theirs[node]) for node, number in _numbers(mine).items() if node in theirs]
    if not both:
        return 0.0
    return float(adjusted_mutual_info_score(*zip(*both, strict=True)))


def fits(mine: Parts, other: Parts, matching: Matching) -> np.ndarray:
    """Of each module of the reference, its neurons shared with the module that goes with it, over those of either.

    Modules go with each other one to one, so that the sum is greatest.
    """
    from scipy.optimize import linear_sum_assignment

    renamed = _renamed(other, matching)
    table = np.zeros((len(mine), len(renamed)))
    for i, part in enumerate(mine):
        for j, there in enumerate(renamed):
            missing = len(other[j]) - len(there)
            table[i, j] = len(part & there) / (len(part | there) + missing)
    found = np.zeros(len(mine))
    rows, columns = linear_sum_assignment(-table)
    found[rows] = table[rows, columns]
    return found


def large(parts: Sequence[frozenset[Node]]) -> Parts:
    """The modules of at least three neurons."""
    return [part for part in parts if len(part) >= SMALLEST]


def names_of_reference(matching: Matching) -> dict[str, np.ndarray]:
    """Population -> the other network's neuron -> reference neuron, ``NONE`` without one."""
    found = {}
    for name, partner in matching.partner.items():
        own = np.full(len(partner), NONE)
        has = partner != NONE
        own[partner[has]] = np.flatnonzero(has)
        found[name] = own
    return found


def _renamed(parts: Parts, matching: Matching) -> Parts:
    names = names_of_reference(matching)
    return [frozenset((p, int(names[p][n])) for p, n in part if names[p][n] != NONE) for part in parts]


def _numbers(parts: Parts) -> Mapping[Node, int]:
    return {node: number for number, part in enumerate(parts) for node in part}
