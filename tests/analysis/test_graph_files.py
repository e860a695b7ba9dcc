"""Exported graphs read back as they were: nodes, keys, attributes and types; and what is told of neurons is right."""

from __future__ import annotations

import networkx as nx
import pytest
import torch

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.ablate import ablate
from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.graph import NO_HEAD, connection_graph
from bimt_tf.analysis.graph_facts import (
    NO_MODULE,
    add_activity_,
    add_edge_facts_,
    add_effects_,
    add_modules_,
    effects_of,
)
from bimt_tf.analysis.graph_files import FORMATS, graph_bytes, read_graph
from bimt_tf.analysis.modularity import modularity
from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer

INPUTS = torch.randn(50, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def transformer():
    bimt = BIMT(RegressionTransformer(d_model=4, n_layers=2, n_heads=2, d_mlp=5, dtype=torch.float64))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in bimt.parameters.values():
            p.mul_(torch.rand(p.shape, generator=generator) < 0.5)
    bimt.layout = Layout.random(bimt.wiring, generator)
    return bimt


def loss(outputs):
    return float(outputs.square().mean())


def whole(bimt, residual, inputs=INPUTS):
    graph = connection_graph(bimt, residual)
    add_modules_(graph)
    add_activity_(graph, bimt, inputs)
    add_effects_(graph, bimt, effects_of(bimt, inputs, loss))
    c = bimt.wiring.connections[0]
    source, target = c.flatten(bimt.parameters[c.parameter].detach()).sum(0).nonzero()[0].tolist()
    add_edge_facts_(graph, bimt, {(c.parameter, source, target): {"knock_out": 1 / 3}})
    return graph


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("residual", ["shared", "unrolled"])
def test_what_is_written_reads_back(form, residual, tmp_path):
    for bimt, inputs in ((transformer(), INPUTS), (BIMT(MLP([2, 4, 3]), Geometry(shapes={"hidden0": "grid"})), INPUTS)):
        inputs = inputs if isinstance(bimt.model, RegressionTransformer) else inputs[:, 0].float()
        graph = whole(bimt, residual, inputs)
        path = tmp_path / f"g.{form}"
        path.write_bytes(graph_bytes(graph, form))
        back = read_graph(path)
        assert nx.utils.graphs_equal(graph, back) and type(graph) is type(back) and graph.graph == back.graph
        for node, data in graph.nodes(data=True):
            assert {k: type(v) for k, v in data.items()} == {k: type(v) for k, v in back.nodes[node].items()}
        kinds = {(k, type(v)) for *_, data in graph.edges(data=True) for k, v in data.items()}
        assert kinds == {(k, type(v)) for *_, data in back.edges(data=True) for k, v in data.items()}
        assert modularity(back) == pytest.approx(modularity(graph), abs=1e-12)
        assert ("knock_out", float) in kinds
        heads = {data["head"] for _, data in back.nodes(data=True)}
        assert heads == ({NO_HEAD, 0, 1} if isinstance(bimt.model, RegressionTransformer) else {NO_HEAD})


def test_facts_of_neurons_are_those_of_their_stages():
    bimt = transformer()
    unrolled, shared = whole(bimt, "unrolled"), whole(bimt, "shared")
    hooks = stage_hooks(bimt.model, bimt.wiring)
    for (stage, neuron), data in unrolled.nodes(data=True):
        assert ("activity" in data) == ("effect" in data) == (stage in hooks)
        if stage in hooks:
            seen = [activations(bimt.model, hooks[stage], t, inputs=INPUTS)[:, neuron] for t in range(3)]
            spread = torch.stack([each - each.mean() for each in seen]).square().mean().sqrt()
            assert data["activity"] == pytest.approx(float(spread))
            alone = ablate(bimt.model, {hooks[stage]: [neuron]}, INPUTS, loss)
            assert data["effect"] == pytest.approx(alone.change)
    for (population, neuron), data in shared.nodes(data=True):
        stages = [s.name for s in bimt.wiring.stages if s.population == population and s.name in hooks]
        if stages:
            assert data["effect"] == max(unrolled.nodes[stage, neuron]["effect"] for stage in stages)


def test_modules_are_numbered_and_lonely_neurons_have_none():
    graph = whole(transformer(), "shared")
    for node, data in graph.nodes(data=True):
        assert (data["module"] == NO_MODULE) == (graph.degree[node] == 0)
    numbers = {data["module"] for _, data in graph.nodes(data=True)} - {NO_MODULE}
    assert numbers == set(range(len(numbers)))
    parts = [{n for n, d in graph.nodes(data=True) if d["module"] == k} for k in numbers]
    alone = [{n} for n, d in graph.nodes(data=True) if d["module"] == NO_MODULE]
    assert modularity(graph, [*parts, *alone]) == pytest.approx(modularity(graph))


def test_what_is_refused(tmp_path):
    bimt = transformer()
    graph = connection_graph(bimt)
    with pytest.raises(InputError, match="no edge of embed.W_E from neuron 0 to neuron 99"):
        add_edge_facts_(graph, bimt, {("embed.W_E", 0, 99): {"a": 1.0}})
    with pytest.raises(InputError, match="no edge of embed"):
        add_edge_facts_(graph, bimt, {("embed", 0, 0): {"a": 1.0}})
    with pytest.raises(InputError, match="did you mean 'graphml'"):
        graph_bytes(graph, "grapml")
    for form in FORMATS:
        (tmp_path / f"g.{form}").write_text("nothing")
        with pytest.raises(InputError, match=f"no connection graph as {form}"):
            read_graph(tmp_path / f"g.{form}")
    with pytest.raises(InputError, match="cannot read"):
        read_graph(tmp_path / "none.gexf")
    with pytest.raises(InputError, match="unknown format"):
        read_graph(tmp_path / "none.txt")


def test_a_graph_of_another_program_is_said_to_lack_something(tmp_path):
    (tmp_path / "a.json").write_text('{"nodes": [], "edges": []}')
    with pytest.raises(InputError, match="holds no connection graph as json: it has no 'residual'"):
        read_graph(tmp_path / "a.json")
