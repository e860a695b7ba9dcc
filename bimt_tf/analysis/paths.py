"""Paths of weights from input to output: which neurons are part of the computation, and what each output depends on.

A neuron is **live** when some path of weights leads from the first stage through it to the last. A neuron with
weights on one side only (fed but not read, or read but constant) is not.
"""

from __future__ import annotations

from itertools import pairwise

import networkx as nx

from bimt_tf.errors import InputError

__all__ = ["Node", "flow", "live", "upstream"]

Node = tuple[str, int]
"""(stage name, neuron)."""


def flow(graph: nx.Graph) -> nx.DiGraph:
    """The directed graph of an unrolled connection graph: every weight from its shallower to its deeper neuron.

    A population that stands at several depths (a residual stream) carries each of its neurons on to the next depth.

    Raises:
        InputError: for a graph that is not ``connection_graph(bimt, residual="unrolled")``.
    """
    if graph.graph.get("residual") != "unrolled":
        raise InputError("paths are those of connection_graph(bimt, residual='unrolled'), found another graph")
    depth = nx.get_node_attributes(graph, "y")
    found = nx.DiGraph()
    found.add_nodes_from(graph.nodes(data=True))
    for u, v in graph.edges():
        found.add_edge(*((u, v) if depth[u] < depth[v] else (v, u)))
    stands: dict[tuple[str, int], list[Node]] = {}
    for node, data in sorted(graph.nodes(data=True), key=lambda pair: pair[1]["y"]):
        stands.setdefault((data["population"], data["neuron"]), []).append(node)
    for nodes in stands.values():
        found.add_edges_from((u, v) for u, v in pairwise(nodes) if depth[u] < depth[v])
    return found


def live(graph: nx.Graph) -> set[Node]:
    """The neurons on a path from the first to the last depth of an unrolled graph; raises as :func:`flow`."""
    directed = flow(graph)
    depth = nx.get_node_attributes(directed, "y")
    first, last = min(depth.values()), max(depth.values())
    fed = _reached(directed, [node for node, y in depth.items() if y == first])
    read = _reached(directed.reverse(copy=False), [node for node, y in depth.items() if y == last])
    return {node for node in fed & read if directed.degree[node]}


def upstream(graph: nx.Graph, node: Node) -> set[Node]:
    """The live neurons that a neuron depends on; raises as :func:`flow`, and InputError for no node of the graph."""
    if node not in graph:
        raise InputError(f"{node!r} is no (stage, neuron) of the graph")
    return set(nx.ancestors(flow(graph), node)) & live(graph)


def _reached(directed: nx.DiGraph, sources: list[Node]) -> set[Node]:
    found, edge = set(sources), list(sources)
    while edge:
        after = {v for u in edge for v in directed.successors(u)} - found
        found |= after
        edge = list(after)
    return found
