"""Modules found, numbered, named and stable; the three methods against all partitions of a small graph."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from planted_modules import empty, join, noise, two_blocks

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.matched import Other, compare_matched
from bimt_tf.analysis.modularity import METHODS, communities, modularity
from bimt_tf.analysis.modules import find_modules, stability
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.transformer import RegressionTransformer

LABELS = {"input": ["x1", "x2", "x3", "x4"], "output": ["y1", "y2"]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("residual", ["shared", "unrolled"])
def test_two_blocks_that_one_weight_joins(method, residual):
    graph = connection_graph(two_blocks(), residual)
    found = find_modules(graph, method=method, labels=LABELS)
    assert [len(one.nodes) for one in found.modules] == [6, 6]
    assert [one.number for one in found.modules] == [1, 2]
    assert [one.name for one in found.modules] == [
        "reads x1, x2 · hidden0 · writes y1",
        "reads x3, x4 · hidden0 · writes y2",
    ]
    first = found.module(1)
    assert first.nodes == (("hidden0", 0), ("hidden0", 1), ("hidden0", 2), ("input", 0), ("input", 1), ("output", 0))
    assert first.inside == 9 and first.joined == {2: 1} and found.weights == 19
    assert first.share == pytest.approx(9 / 18.05)
    assert found.module_of(("output", 1)) == 2 and found.module_of(("nothing", 0)) is None
    assert found.q == pytest.approx(modularity(graph, [set(one.nodes) for one in found.modules]))
    assert found.alone == ()
    with pytest.raises(InputError, match="modules 1 to 2"):
        found.module(3)


def test_results_say_what_they_are():
    found = find_modules(connection_graph(two_blocks()), labels=LABELS)
    assert repr(found) == "Modules(Q 0.497, 2 modules of 6, 6 neurons, greedy, shared)"
    assert "<td>reads x1, x2 · hidden0 · writes y1</td>" in found._repr_html_()
    assert found.as_dict()["modules"][0]["nodes"][0] == ["hidden0", 0]


def test_names_of_a_transformer():
    bimt = BIMT(RegressionTransformer(d_model=4, n_layers=2, n_heads=2, d_mlp=4, seed=0))
    graph = connection_graph(bimt)
    whole = find_modules(graph, resolution=1e-9)
    assert [one.name for one in whole.modules] == [
        "reads input 0, 1 · block 0 head 0 · block 0 head 1 · block 0 MLP · block 1 head 0 · block 1 head 1"
        " · block 1 MLP · writes output 0, 1"
    ]


def test_many_outputs_are_counted():
    made = empty([1, 2, 8])
    join(made, 0, (0, 0), (0, 1))
    join(made, 1, *((0, i) for i in range(8)))
    (found, *_) = find_modules(connection_graph(made), resolution=0.1).modules
    assert found.name == "reads input 0 · hidden0 · writes 8 of 8 outputs"


def test_resolution_splits():
    graph = connection_graph(noise([6, 8, 6], 0.5, 0))
    counts = [len(find_modules(graph, resolution=each).modules) for each in (0.05, 1.0, 3.0)]
    assert counts[0] == 1 < counts[1] < counts[2]


@pytest.mark.parametrize("seed", range(4))
def test_refined_is_the_best_of_all_partitions(seed):
    """Eight nodes have 4,140 partitions."""
    graph = nx.gnp_random_graph(8, 0.45, seed=seed)
    for i, (u, v) in enumerate(graph.edges()):
        graph.edges[u, v]["weight"] = 0.3 + (i * 7 % 5) / 3
    best = max(modularity(graph, parts) for parts in partitions(list(graph)))
    found = communities(graph, "refined")
    assert modularity(graph, found) == pytest.approx(best)
    assert all(nx.is_connected(graph.subgraph(part)) for part in found)
    assert all(modularity(graph, communities(graph, method)) <= best + 1e-12 for method in METHODS)


def partitions(nodes):
    if not nodes:
        yield []
        return
    first, *rest = nodes
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            for parts in partitions([node for node in rest if node not in others]):
                yield [{first, *others}, *parts]


@pytest.mark.parametrize("method", METHODS)
def test_a_ring_of_cliques_is_stable(method):
    graph = nx.ring_of_cliques(6, 6)
    nx.set_edge_attributes(graph, 1.0, "weight")
    found = stability(graph, method=method)
    assert found.restarts == 100 and found.mean == pytest.approx(1) and found.lowest == pytest.approx(1)
    assert found.q_lowest == pytest.approx(modularity(graph))


def test_noise_is_not_stable_and_the_seed_decides():
    graph = nx.gnp_random_graph(40, 0.2, seed=1)
    nx.set_edge_attributes(graph, 1.0, "weight")
    found = stability(graph, method="louvain", restarts=20)
    assert found.lowest < found.mean < 0.9 and found.q_lowest < found.q_highest
    assert (
        found
        == stability(graph, method="louvain", restarts=20)
        != stability(graph, method="louvain", seed=1, restarts=20)
    )
    assert communities(graph, "louvain", seed=5) == communities(graph, "louvain", seed=5)
    assert len({frozenset(communities(graph, "louvain", seed=i)) for i in range(6)}) > 1


def test_neurons_alone():
    made = two_blocks()
    join(made, 0, (0, 0), weight=0.0)
    graph = connection_graph(made)
    assert find_modules(graph, resolution=1e3).modules == ()
    assert len(find_modules(graph, resolution=1e3).alone) == 12


def test_what_cannot_be():
    graph = connection_graph(two_blocks())
    with pytest.raises(InputError, match="did you mean 'louvain'"):
        find_modules(graph, method="luvain")
    with pytest.raises(InputError, match="resolution must be above 0"):
        find_modules(graph, resolution=0.0)
    with pytest.raises(InputError, match="found another graph"):
        find_modules(nx.path_graph(3))
    with pytest.raises(InputError, match="no weights"):
        stability(connection_graph(empty([2, 2, 1])))


def test_matched_runs():
    others = [Other("a", 20, 0.4, 1e-3), Other("b", 25, 0.6, 1e-3)]
    found = compare_matched(0.55, 20, others)
    assert found.difference == pytest.approx(0.05) and (found.lowest, found.highest, found.beats) == (0.4, 0.6, 1)
    assert found.ratios == (1.0, 1.25)
    assert "1.00 to 1.25 times the weights" in repr(found)
    with pytest.raises(InputError, match="nothing to compare"):
        compare_matched(0.5, 20, [])
