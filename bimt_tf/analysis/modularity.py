"""Modularity of a connection graph (the paper's Q; Newman, 2006): the weight inside communities, beyond chance.

    Q = sum over communities c of  W_c / W  -  (D_c / 2W)^2

with W the weight of all edges, W_c of those inside c, and D_c the summed weighted degree of c. Communities are
NetworkX's greedy_modularity_communities (Clauset, Newman and Moore, 2004) on |w|. Q depends on the weights only: no
swap changes it (see wiring_length.py for what swaps change).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

import networkx as nx

from bimt_tf.errors import InputError, require_kind

__all__ = ["modularity", "communities"]


def modularity(graph: nx.Graph, communities: Iterable[Collection[Hashable]] | None = None) -> float:
    """Newman's Q with the edge attribute ``weight``; a graph without edges has Q = 0.

    Args:
        graph: undirected, for example a :func:`connection_graph`; parallel edges count with their sum.
        communities: disjoint sets of nodes that hold every node; by default those of :func:`communities`.

    Raises:
        InputError: for what is no graph, or when ``communities`` is no partition of the nodes.
    """
    require_kind("graph", graph, nx.Graph)
    if communities is not None:
        require_kind("communities", communities, Iterable)
    parts = _greedy(graph) if communities is None else [frozenset(part) for part in communities]
    if not nx.community.is_partition(graph, parts):
        raise InputError(f"communities must hold each of the graph's {len(graph)} nodes once")
    if not _total(graph):
        return 0.0
    return float(nx.community.modularity(graph, parts, weight="weight"))


def communities(graph: nx.Graph) -> list[frozenset[Hashable]]:
    """The communities of greedy modularity maximisation, largest first; nodes without edges stand alone, last.

    The same graph gives the same communities in every process.

    Raises:
        InputError: for what is no graph.
    """
    require_kind("graph", graph, nx.Graph)
    return _greedy(graph)


def _total(graph: nx.Graph) -> float:
    return float(graph.size(weight="weight"))


def _greedy(graph: nx.Graph) -> list[frozenset[Hashable]]:
    """Communities of the simple graph of summed weights.

    Summing parallel edges and leaving out isolated nodes changes no Q and saves time. The nodes are numbered,
    because NetworkX walks over sets: those of strings are ordered differently in every process.
    """
    nodes = list(graph)
    number = {node: i for i, node in enumerate(nodes)}
    simple = nx.Graph()
    for u, v, weight in graph.edges(data="weight", default=1.0):
        if weight:
            i, j = number[u], number[v]
            present = simple.edges[i, j]["weight"] if simple.has_edge(i, j) else 0.0
            simple.add_edge(i, j, weight=present + weight)
    found = nx.community.greedy_modularity_communities(simple, weight="weight") if len(simple) else []
    alone = [frozenset([node]) for node, i in number.items() if i not in simple]
    return [frozenset(nodes[i] for i in part) for part in found] + alone
