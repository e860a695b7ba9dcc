"""modularity against NetworkX and against Newman's formula written as a loop."""

from __future__ import annotations

import os
import subprocess
import sys

import networkx as nx
import pytest
import torch

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.modularity import communities, modularity
from bimt_tf.bimt import BIMT
from bimt_tf.core.layout import Layout
from bimt_tf.errors import InputError
from bimt_tf.models.transformer import RegressionTransformer


def newman(graph: nx.Graph, parts) -> float:
    """Q = 1/2W sum_ij (A_ij - k_i k_j / 2W) [c_i = c_j] over all pairs of nodes."""
    strength = {u: 0.0 for u in graph}
    adjacency: dict[tuple, float] = {}
    for u, v, weight in graph.edges(data="weight"):
        for ends in ((u, v), (v, u)):
            adjacency[ends] = adjacency.get(ends, 0.0) + weight
            strength[ends[0]] += weight
    twice = sum(strength.values())
    total = 0.0
    for part in parts:
        for u in part:
            for v in part:
                total += adjacency.get((u, v), 0.0) - strength[u] * strength[v] / twice
    return total / twice


def by_hand(kind=nx.Graph) -> nx.Graph:
    graph = kind()
    graph.add_nodes_from([("a", i) for i in range(9)])
    graph.add_weighted_edges_from(
        [(("a", u), ("a", v), w) for u, v, w in
         [(0, 1, 2.0), (1, 2, 1.0), (0, 2, 0.5), (3, 4, 1.5), (4, 5, 1.0), (3, 5, 2.5), (2, 3, 0.1), (6, 7, 0.3)]]
    )  # fmt: skip
    return graph


@pytest.fixture(scope="module")
def vanilla() -> BIMT:
    return BIMT(RegressionTransformer(d_model=12, n_layers=2, n_heads=2, d_mlp=24, seed=1))


def test_by_hand():
    graph = by_hand()
    found = communities(graph)
    assert [set(part) for part in found[:2]] == [{("a", 0), ("a", 1), ("a", 2)}, {("a", 3), ("a", 4), ("a", 5)}]
    assert set(found[2:]) == {frozenset([("a", 6), ("a", 7)]), frozenset([("a", 8)])}
    assert modularity(graph) == pytest.approx(newman(graph, found), abs=1e-12)
    expected = nx.community.modularity(graph, nx.community.greedy_modularity_communities(graph, weight="weight"))
    assert modularity(graph) == pytest.approx(expected, abs=1e-12)


def test_given_communities():
    graph = by_hand()
    parts = [[("a", i) for i in range(4)], [("a", i) for i in range(4, 9)]]
    assert modularity(graph, parts) == pytest.approx(newman(graph, parts), abs=1e-12)
    assert modularity(graph, [list(graph)]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("parts", [[[("a", 0)]], [[("a", i) for i in range(9)], [("a", 0)]]], ids=["few", "twice"])
def test_communities_must_be_a_partition(parts):
    with pytest.raises(InputError, match="each of the graph's 9 nodes once"):
        modularity(by_hand(), parts)


@pytest.mark.parametrize("residual", ["shared", "unrolled"])
def test_is_networkx_on_a_model(vanilla, residual):
    graph = connection_graph(vanilla, residual)
    simple = nx.Graph()
    simple.add_nodes_from(graph)
    for u, v, weight in graph.edges(data="weight"):
        simple.add_edge(u, v, weight=weight + (simple.edges[u, v]["weight"] if simple.has_edge(u, v) else 0.0))
    parts = communities(graph)
    assert sum(map(len, parts)) == len(graph)
    assert modularity(graph) == pytest.approx(newman(graph, parts), abs=1e-9)
    assert modularity(graph) == pytest.approx(modularity(simple), abs=1e-9)
    expected = nx.community.modularity(simple, nx.community.greedy_modularity_communities(simple, weight="weight"))
    assert modularity(graph) == pytest.approx(expected, abs=1e-9)


def test_vanilla_is_hardly_modular_and_unrolling_seems_to_be(vanilla):
    shared, unrolled = (modularity(connection_graph(vanilla, residual)) for residual in ("shared", "unrolled"))
    assert 0 < shared < 0.2 < unrolled


@pytest.mark.parametrize("residual", ["shared", "unrolled"])
def test_no_swap_changes_it(vanilla, residual):
    before = modularity(connection_graph(vanilla, residual))
    layout = Layout.random(vanilla.wiring, torch.Generator().manual_seed(0))
    moved = BIMT(vanilla.model, layout=layout)
    assert modularity(connection_graph(moved, residual)) == before


def test_no_edges_no_modularity():
    graph = nx.empty_graph(4)
    assert modularity(graph) == 0.0
    assert communities(graph) == [frozenset([i]) for i in range(4)]
    assert modularity(nx.Graph()) == 0.0
    graph.add_edge(0, 1, weight=0.0)
    assert modularity(graph) == 0.0


def test_the_same_in_every_process():
    code = (
        "import networkx as nx, random\n"
        "from bimt_tf.analysis.modularity import communities, modularity\n"
        "g = nx.relabel_nodes(nx.grid_2d_graph(6, 6), lambda n: (f'stage {n[0]}', n[1]))\n"
        "nx.set_edge_attributes(g, {edge: random.Random(i).random() for i, edge in enumerate(g.edges)}, 'weight')\n"
        "print([sorted(part) for part in communities(g)], modularity(g))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
