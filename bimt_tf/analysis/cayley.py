"""The Cayley graph of a group (paper, Figure A6): an edge from each element a to a s for every generator s."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.errors import InputError, require_kind

__all__ = ["cayley_graph", "cayley_places", "usual_generators"]


DEEPER = 1.8  # how much weaker an edge pulls, and so longer it is, a step further from the outer face


def usual_generators(group: FiniteGroup) -> tuple[int, ...]:
    """Exchanges of neighbouring points where the group acts by all permutations, else few elements that generate it."""
    if group.action is not None:
        points = group.action.shape[1]
        wanted = [[*range(i), i + 1, i, *range(i + 2, points)] for i in range(points - 1)]
        found = [np.flatnonzero((group.action == row).all(1)) for row in wanted]
        if all(one.size for one in found):
            chosen = tuple(int(one[0]) for one in found)
            if len(group.generated(chosen)) == len(group):
                return chosen
    return group.generators


def cayley_graph(group: FiniteGroup, generators: Sequence[int] | None = None) -> nx.DiGraph:
    """The graph whose nodes are the elements and whose edges lead from a to a s.

    Node attribute ``name``; edge attribute ``generator``, its number. An involution gives edges in both directions.

    Args:
        group: the group.
        generators: different elements, without the identity, that generate it; :func:`usual_generators` unless given.

    Raises:
        InputError: for elements that do not generate the group, a repeated one, or the identity.
    """
    require_kind("group", group, FiniteGroup)
    chosen = usual_generators(group) if generators is None else tuple(generators)
    reached = group.generated(chosen)
    if len(reached) < len(group) or len(set(chosen)) < len(chosen) or group.identity in chosen:
        raise InputError(
            f"generators must be different, not the identity, and reach all {len(group)} elements, found "
            f"{', '.join(group.names[s] for s in chosen) or 'none'}, which reach {len(reached)}"
        )
    graph = nx.DiGraph()
    graph.add_nodes_from((a, {"name": group.names[a]}) for a in range(len(group)))
    graph.add_edges_from((a, int(group.table[a, s]), {"generator": int(s)}) for s in chosen for a in range(len(group)))
    return graph


def cayley_places(graph: nx.DiGraph) -> dict[int, tuple[float, float]]:
    """Where to draw the elements: around a circle where the graph is one, without crossings where it is planar.

    A planar graph is drawn as Tutte (1963) does: a largest face on a circle, every other node in the middle of its
    neighbours; others as springs (Kamada and Kawai). The same graph has the same places.
    """
    plain = nx.Graph(graph.edges)
    plain.add_nodes_from(graph)
    if all(degree == 2 for _, degree in plain.degree):
        return _circle([node for node, *_ in nx.find_cycle(plain)])
    planar, embedding = nx.check_planarity(plain)
    if planar and len(plain) > 3 and nx.node_connectivity(plain) >= 3:
        return _tutte(plain, _largest_face(embedding))
    places = nx.kamada_kawai_layout(plain)
    return {node: (float(x), float(y)) for node, (x, y) in places.items()}


def _circle(nodes: Sequence[int]) -> dict[int, tuple[float, float]]:
    turns = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    return {node: (float(np.cos(turn)), float(np.sin(turn))) for node, turn in zip(nodes, turns, strict=True)}


def _largest_face(embedding: nx.PlanarEmbedding) -> list[int]:
    seen: set[tuple[int, int]] = set()
    faces = [list(embedding.traverse_face(u, v, seen)) for u, v in sorted(embedding.edges) if (u, v) not in seen]
    return max(faces, key=len)


def _tutte(plain: nx.Graph, outer: list[int]) -> dict[int, tuple[float, float]]:
    places = _circle(outer)
    inner = [node for node in sorted(plain) if node not in places]
    if not inner:
        return places
    row = {node: i for i, node in enumerate(inner)}
    depth = nx.multi_source_dijkstra_path_length(plain, set(outer), weight=None)
    matrix, right = np.zeros((len(inner), len(inner))), np.zeros((len(inner), 2))
    for node in inner:
        for other in plain[node]:
            pull = DEEPER ** -min(depth[node], depth[other])  # any pulls leave the drawing planar
            matrix[row[node], row[node]] += pull
            if other in row:
                matrix[row[node], row[other]] -= pull
            else:
                right[row[node]] += pull * np.array(places[other])
    solved = np.linalg.solve(matrix, right)
    return places | {node: (float(x), float(y)) for node, (x, y) in zip(inner, solved, strict=True)}
