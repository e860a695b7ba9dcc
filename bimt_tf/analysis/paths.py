"""Paths of weights from input to output: which neurons are part of the computation, and what each output depends on.

A neuron is **live** when some path of weights leads from the first stage through it to the last. A neuron with
weights on one side only is not live: either no weight leads to it, or none leads away from it. Of a graph made with the
active threshold, the live neurons are the active ones, and the weights between them the active weights (active.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise, product

import networkx as nx

from bimt_tf.analysis.graph import NO_HEAD
from bimt_tf.core.population import Node
from bimt_tf.errors import InputError, require_kind

__all__ = ["flow", "live", "upstream"]


def flow(graph: nx.Graph) -> nx.DiGraph:
    """The directed graph of an unrolled connection graph: every weight from its shallower to its deeper neuron.

    A population that stands at several depths (a residual stream) carries each of its neurons on to the next depth.
    Queries and keys choose what the values of their head read, so each that is reached from the first depth leads to
    the values of its head that are reached from there too.

    Raises:
        InputError: for a graph that is not ``connection_graph(bimt, residual="unrolled")``, or a weight between two
            neurons of one row.
    """
    require_kind("graph", graph, nx.Graph)
    if graph.graph.get("residual") != "unrolled":
        raise InputError("paths are those of connection_graph(bimt, residual='unrolled'), found another graph")
    depth = nx.get_node_attributes(graph, "depth")
    found = nx.DiGraph()
    found.add_nodes_from(graph.nodes(data=True))
    for u, v, parameter in graph.edges(data="parameter"):
        if depth[u] == depth[v]:
            raise InputError(f"{parameter} joins two stages of one row; put them in two rows of the wiring")
        found.add_edge(*((u, v) if depth[u] < depth[v] else (v, u)))
    stands: dict[Node, list[Node]] = {}
    for node, data in sorted(graph.nodes(data=True), key=lambda pair: pair[1]["depth"]):
        stands.setdefault((data["population"], data["neuron"]), []).append(node)
    for nodes in stands.values():
        rows = [list(row) for _, row in groupby(nodes, key=depth.__getitem__)]
        for before, after in pairwise(rows):
            found.add_edges_from(product(before, after))
    fed = _reached(found, _row(found, min(depth.values(), default=0)))
    found.add_edges_from((u, v) for u, v in _choices(graph) if u in fed and v in fed)
    return found


def live(graph: nx.Graph) -> set[Node]:
    """The neurons on a path from the first to the last depth of an unrolled graph; raises as :func:`flow`."""
    directed = flow(graph)
    depth = nx.get_node_attributes(directed, "depth")
    fed = _reached(directed, _row(directed, min(depth.values(), default=0)))
    read = _reached(directed.reverse(copy=False), _row(directed, max(depth.values(), default=0)))
    return {node for node in fed & read if directed.degree[node]}


def upstream(graph: nx.Graph, node: Node) -> set[Node]:
    """The live neurons that a neuron depends on; raises as :func:`flow`, and InputError for no node of the graph."""
    require_kind("graph", graph, nx.Graph)
    if node not in graph:
        raise InputError(f"{node!r} is no (stage, neuron) of the graph")
    return set(nx.ancestors(flow(graph), node)) & live(graph)


def _row(directed: nx.DiGraph, depth: int) -> list[Node]:
    return [node for node, row in directed.nodes(data="depth") if row == depth]


def _choices(graph: nx.Graph) -> Iterator[tuple[Node, Node]]:
    """(query or key neuron, value neuron) of every head.

    Queries and keys are the population that stands twice in one row, values the other neurons with heads there.
    """
    rows: dict[int, dict[str, set[str]]] = {}
    heads: dict[Node, list[Node]] = {}
    for node, data in graph.nodes(data=True):
        rows.setdefault(data["depth"], {}).setdefault(data["population"], set()).add(data["stage"])
        heads.setdefault((data["stage"], data["head"]), []).append(node)
    for populations in rows.values():
        twice = {stage for stages in populations.values() if len(stages) > 1 for stage in stages}
        once = {stage for stages in populations.values() if len(stages) == 1 for stage in stages}
        for (stage, head), nodes in heads.items():
            if stage in twice:
                for other in once:
                    if head != NO_HEAD:
                        yield from product(nodes, heads.get((other, head), ()))


def _reached(directed: nx.DiGraph, sources: list[Node]) -> set[Node]:
    found, edge = set(sources), list(sources)
    while edge:
        after = {v for u in edge for v in directed.successors(u)} - found
        found |= after
        edge = list(after)
    return found
