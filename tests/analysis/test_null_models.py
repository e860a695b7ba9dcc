"""Null models keep what they promise, find planted modules, and find none where there is nothing."""

from __future__ import annotations

import statistics
from collections import Counter

import networkx as nx
import pytest
from planted_modules import empty, join, noise, two_blocks

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.modularity import modularity
from bimt_tf.analysis.null_models import NULLS, compare_with_null, null_graphs
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.transformer import RegressionTransformer


def by_tensor(graph):
    found = {}
    for u, v, data in graph.edges(data=True):
        found.setdefault(data["parameter"], []).append((*sorted([u, v]), data["weight"]))
    return found


def degrees(edges):
    return Counter(node for u, v, _ in edges for node in (u, v))


def strengths(edges, end):
    total = Counter()
    for edge in edges:
        total[edge[end]] += edge[2]
    return {node: pytest.approx(value) for node, value in total.items()}


@pytest.fixture(scope="module", params=["mlp", "transformer"])
def graph(request):
    if request.param == "mlp":
        return connection_graph(noise([6, 8, 8, 3], 0.4, seed=1))
    bimt = BIMT(RegressionTransformer(d_model=6, n_layers=1, n_heads=2, d_mlp=8, seed=1))
    return connection_graph(bimt, threshold=0.3)


@pytest.mark.parametrize("null", NULLS)
def test_layers_sizes_and_numbers_of_weights_stay(graph, null):
    before = by_tensor(graph)
    for drawn in null_graphs(graph, null, 5):
        after = by_tensor(drawn)
        assert after.keys() == before.keys()
        for name, edges in after.items():
            assert sorted(w for *_, w in edges) == pytest.approx(sorted(w for *_, w in before[name]))
            assert len({edge[:2] for edge in edges}) == len(edges), "two weights at one place"
            for end in (0, 1):
                assert {edge[end][0] for edge in edges} == {edge[end][0] for edge in before[name]}


def test_sizes_moves_no_weight(graph):
    for drawn in null_graphs(graph, "sizes", 3):
        for name, edges in by_tensor(drawn).items():
            assert {edge[:2] for edge in edges} == {edge[:2] for edge in by_tensor(graph)[name]}
        assert sorted(by_tensor(drawn).items()) != sorted(by_tensor(graph).items())


def test_swaps_keep_every_degree_of_every_tensor(graph):
    moved = 0
    for drawn in null_graphs(graph, "swaps", 5):
        for name, edges in by_tensor(drawn).items():
            there = by_tensor(graph)[name]
            assert degrees(edges) == degrees(there)
            assert strengths(edges, 0) == strengths(there, 0)
            moved += len({edge[:2] for edge in edges} - {edge[:2] for edge in there})
    assert moved


def test_swaps_reach_every_arrangement():
    """Two weights from each of two sources to four targets: all 6 arrangements, about equally often."""
    made = empty([2, 4, 1])
    join(made, 0, (0, 0), (0, 1), (1, 2), (1, 3))
    arrangements = Counter()
    for drawn in null_graphs(connection_graph(made), "swaps", 1200):
        arrangements[frozenset(node[1] for node in drawn.neighbors(("input", 0)))] += 1
    assert len(arrangements) == 6
    assert min(arrangements.values()) > 150


def test_entries_leave_no_neuron_without_weights(graph):
    changed = 0
    for drawn in null_graphs(graph, "entries", 5):
        for name, edges in by_tensor(drawn).items():
            there = by_tensor(graph)[name]
            assert degrees(edges).keys() == degrees(there).keys()
            changed += degrees(edges) != degrees(there)
    assert changed


def test_entries_reach_every_arrangement():
    """Three weights between two sources and two targets: each of the four places is left empty equally often."""
    made = empty([2, 2, 1])
    join(made, 0, (0, 0), (0, 1), (1, 0))
    counts = Counter(frozenset(map(frozenset, g.edges())) for g in null_graphs(connection_graph(made), "entries", 1000))
    assert len(counts) == 4 and min(counts.values()) > 190


@pytest.mark.parametrize("null", NULLS)
def test_the_seed_decides(graph, null):
    first, again, other = (
        [sorted(map(repr, g.edges(data=True))) for g in null_graphs(graph, null, 2, seed)] for seed in (3, 3, 4)
    )
    assert first == again != other
    assert first[0] != first[1]


def test_two_blocks_are_beyond_chance():
    graph = connection_graph(two_blocks())
    for null in ("swaps", "entries"):
        found = compare_with_null(graph, null, 100)
        assert found.z > 3 and found.p == pytest.approx(1 / 101) and found.high < found.q, found
        assert found.q == pytest.approx(modularity(graph))


@pytest.mark.parametrize(("null", "density"), [("sizes", 1.0), ("sizes", 0.4), ("entries", 0.4), ("swaps", 0.4)])
def test_random_networks_are_not(null, density):
    """Of networks without structure, z is about 0 and p is small no more often than it must be."""
    graphs = [connection_graph(noise([6, 8, 6], density, seed)) for seed in range(10)]
    found = [compare_with_null(graph, null, 25, method="louvain") for graph in graphs]
    zs = [one.z for one in found]
    assert abs(statistics.fmean(zs)) < 0.9, zs
    assert statistics.median(abs(z) for z in zs) < 1.5
    assert sum(one.p <= 0.05 for one in found) <= 2


def test_a_dense_network_has_no_swaps():
    found = compare_with_null(connection_graph(noise([3, 4, 2], 1.0, 0)), "swaps", 5)
    assert found.z is None and found.reason == "every draw has the same Q" and found.p == 1 and found.moved == 0
    assert "no z" in repr(found) and found.as_dict()["z"] is None


def test_numbers_are_those_of_the_draws():
    graph = connection_graph(noise([5, 6, 4], 0.5, 2))
    found = compare_with_null(graph, "swaps", 60)
    qs = sorted(modularity(drawn) for drawn in null_graphs(graph, "swaps", 60))
    assert found.mean == pytest.approx(statistics.fmean(qs))
    assert found.deviation == pytest.approx(statistics.stdev(qs))
    assert found.z == pytest.approx((found.q - found.mean) / found.deviation)
    assert found.p == pytest.approx((1 + sum(q >= found.q - 1e-12 for q in qs)) / 61)
    assert qs[0] <= found.low < found.mean < found.high <= qs[-1]


def test_what_is_no_connection_graph():
    with pytest.raises(InputError, match="needs the attributes parameter"):
        compare_with_null(nx.path_graph(3), "sizes")
    with pytest.raises(InputError, match="nothing to shuffle"):
        compare_with_null(connection_graph(empty([2, 2, 1])), "sizes")
    with pytest.raises(InputError, match="did you mean 'swaps'"):
        compare_with_null(connection_graph(two_blocks()), "swap")
    with pytest.raises(InputError, match="draws must be a whole number of at least 2"):
        compare_with_null(connection_graph(two_blocks()), "swaps", 1)
