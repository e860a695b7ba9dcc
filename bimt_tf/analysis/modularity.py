"""Modularity of a connection graph (the paper's Q; Newman, 2006): the weight inside communities, beyond chance.

    Q = sum over communities c of  W_c / W  -  resolution * (D_c / 2W)^2

with W the weight of all edges, W_c of those inside c, and D_c the summed weighted degree of c; resolution 1 is the
paper's. Communities are found by NetworkX, on |w|:

    greedy    greedy_modularity_communities (Clauset, Newman and Moore, 2004), the paper's;
    louvain   louvain_communities (Blondel et al., 2008), one run;
    refined   the best of greedy and of :data:`RESTARTS` Louvain runs, each community cut into its connected parts,
              which never lowers Q. NetworkX has Leiden's algorithm (Traag et al., 2019) for other backends alone; this
              gives the same guarantee, that communities are connected, and a Q at least that of greedy.

Q depends on the weights only: no swap changes it (see wiring_length.py for what swaps change).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Literal

import networkx as nx

from bimt_tf.errors import InputError, require_kind, require_known, require_positive, require_seed

__all__ = ["METHODS", "RESTARTS", "Method", "communities", "find", "modularity", "quality", "summed"]

Method = Literal["greedy", "louvain", "refined"]

METHODS = ("greedy", "louvain", "refined")
RESTARTS = 20
"""Louvain runs of "refined"."""


def modularity(
    graph: nx.Graph, communities: Iterable[Collection[Hashable]] | None = None, resolution: float = 1.0
) -> float:
    """Newman's Q with the edge attribute ``weight``; a graph without edges has Q = 0.

    Args:
        graph: undirected, for example a :func:`connection_graph`; parallel edges count with their sum.
        communities: disjoint sets of nodes that hold every node; by default those of :func:`communities`.
        resolution: above 1 for more and smaller communities, below for fewer and larger ones.

    Raises:
        InputError: for what is no graph, when ``communities`` is no partition of the nodes, or a resolution that is not
            above 0.
    """
    require_kind("graph", graph, nx.Graph)
    require_positive("resolution", resolution)
    if communities is not None:
        require_kind("communities", communities, Iterable)
    parts = _found(graph, "greedy", resolution, 0) if communities is None else [frozenset(part) for part in communities]
    if not nx.community.is_partition(graph, parts):
        raise InputError(f"communities must hold each of the graph's {len(graph)} nodes once")
    return quality(graph, parts, resolution)


def communities(
    graph: nx.Graph, method: Method = "greedy", resolution: float = 1.0, seed: int = 0
) -> list[frozenset[Hashable]]:
    """The communities of a graph, largest first; nodes without edges stand alone, last.

    The same graph and seed give the same communities in every process.

    Args:
        graph: undirected, with the edge attribute ``weight``.
        method: "greedy", "louvain" or "refined"; see the module's text.
        resolution: as :func:`modularity`.
        seed: of Louvain's order of nodes; greedy has none.

    Raises:
        InputError: for what is no graph, an unknown method, a resolution that is not above 0, or a seed that is none.
    """
    require_kind("graph", graph, nx.Graph)
    require_known("method of finding modules", method, METHODS)
    require_positive("resolution", resolution)
    require_seed(seed, bits=32)
    return _found(graph, method, resolution, seed)


def quality(graph: nx.Graph, parts: Collection[Collection[Hashable]], resolution: float = 1.0) -> float:
    """Q of a partition that is known to be one; to the last bit the same in every process, for nodes are numbered."""
    if not graph.size(weight="weight"):
        return 0.0
    number = {node: i for i, node in enumerate(graph)}
    numbered = sorted(sorted(number[node] for node in part) for part in parts)
    found = nx.community.modularity(nx.relabel_nodes(graph, number), numbered, weight="weight", resolution=resolution)
    return float(found)


def summed(graph: nx.Graph) -> tuple[nx.Graph, list[Hashable]]:
    """The simple graph of summed weights, its nodes numbered, without isolated ones; and the node of each number.

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
    return simple, nodes


def find(simple: nx.Graph, method: Method, resolution: float = 1.0, seed: int = 0) -> list[set[int]]:
    """The communities of a graph as :func:`summed` gives it, largest first."""
    if not len(simple):
        return []
    if method == "greedy":
        found = nx.community.greedy_modularity_communities(simple, weight="weight", resolution=resolution)
        return [set(part) for part in found]
    if method == "louvain":
        return _louvain(simple, resolution, seed)
    runs = [_louvain(simple, resolution, seed + i) for i in range(RESTARTS)]
    tried = [_connected(simple, parts) for parts in (find(simple, "greedy", resolution), *runs)]
    return max(tried, key=lambda parts: quality(simple, parts, resolution))  # of equals, the first


def _louvain(simple: nx.Graph, resolution: float, seed: int) -> list[set[int]]:
    found = nx.community.louvain_communities(simple, weight="weight", resolution=resolution, seed=seed)
    return _largest_first(found)


def _connected(simple: nx.Graph, parts: Iterable[Collection[int]]) -> list[set[int]]:
    return _largest_first(piece for part in parts for piece in nx.connected_components(simple.subgraph(part)))


def _largest_first(parts: Iterable[Collection[int]]) -> list[set[int]]:
    return sorted((set(part) for part in parts), key=lambda part: (-len(part), min(part)))


def _found(graph: nx.Graph, method: Method, resolution: float, seed: int) -> list[frozenset[Hashable]]:
    simple, nodes = summed(graph)
    found = find(simple, method, resolution, seed)
    alone = [frozenset([node]) for i, node in enumerate(nodes) if i not in simple]
    return [frozenset(nodes[i] for i in part) for part in found] + alone
