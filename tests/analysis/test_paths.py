"""live and upstream against walks through the weights by recursion."""

from __future__ import annotations

import pytest
import torch

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import flow, live, upstream
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer


def sparse(model, keep, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.rand(p.shape, generator=generator) < keep)
    return BIMT(model)


def all_paths(model):
    """Every path from an input to an output neuron of an MLP, as lists of (stage, neuron)."""
    weights = [layer.weight for layer in model.layers]
    names = ["input", *(f"hidden{i}" for i in range(len(weights) - 1)), "output"]
    paths = [[("input", i)] for i in range(weights[0].shape[1])]
    for depth, weight in enumerate(weights, start=1):
        paths = [
            [*path, (names[depth], j)] for path in paths for j in range(weight.shape[0]) if weight[j, path[-1][1]] != 0
        ]
    return paths


@pytest.mark.parametrize("seed", range(4))
def test_live_neurons_are_those_on_a_path(seed):
    bimt = sparse(MLP([3, 6, 5, 2], seed=seed), 0.25, seed)
    graph, paths = connection_graph(bimt, residual="unrolled"), all_paths(bimt.model)
    assert live(graph) == {node for path in paths for node in path}
    for output in (0, 1):
        mine = [path for path in paths if path[-1] == ("output", output)]
        assert upstream(graph, ("output", output)) == {node for path in mine for node in path[:-1]}


def test_a_neuron_with_weights_on_one_side_is_not_live():
    model = MLP([1, 2, 1])
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        model.layers[1].weight.copy_(torch.tensor([[1.0, 1.0]]))
    graph = connection_graph(BIMT(model), residual="unrolled")
    assert live(graph) == {("input", 0), ("hidden0", 0), ("output", 0)}


def test_the_residual_stream_carries_on():
    model = RegressionTransformer(d_model=4, n_layers=2, n_heads=1, d_mlp=4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "blocks" in name:
                parameter.zero_()
    graph = connection_graph(BIMT(model), residual="unrolled")
    stages = {stage for stage, _ in live(graph)}
    assert {"input", "Res0", "Res2", "output"} <= stages and not any(s.startswith("blocks") for s in stages)
    assert all(graph.nodes[u]["y"] < graph.nodes[v]["y"] for u, v in flow(graph).edges())


def test_mistakes_are_named():
    graph = connection_graph(BIMT(MLP([2, 2])))
    with pytest.raises(InputError, match="unrolled"):
        live(graph)
    with pytest.raises(InputError, match="hidden7"):
        upstream(connection_graph(BIMT(MLP([2, 2])), residual="unrolled"), ("hidden7", 0))
