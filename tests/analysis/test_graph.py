"""connection_graph and wiring_length against the weights themselves, by loops."""

from __future__ import annotations

import io
import json
from collections import defaultdict

import networkx as nx
import pytest
import torch
from torch import nn

from bimt_tf.adapters.families import wire
from bimt_tf.analysis.graph import NO_HEAD, connection_graph
from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer

READINGS = ("shared", "unrolled")


def sparse(model: nn.Module, keep: float = 0.3, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.rand(p.shape, generator=generator) < keep)
    return model


def transformer(**sizes) -> RegressionTransformer:
    return RegressionTransformer(**{"d_model": 8, "n_layers": 2, "n_heads": 1, "d_mlp": 12, **sizes})


def shuffled(model: nn.Module, geometry: Geometry | None = None, seed: int = 3) -> BIMT:
    bimt = BIMT(model, geometry)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
    return bimt


@pytest.mark.parametrize("residual", READINGS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: transformer(),
        lambda: transformer(n_heads=4),
        lambda: transformer(n_heads=7, d_head=3),
        lambda: MLP(sizes=[4, 9, 7, 2]),
    ],
    ids=["1 head", "4 heads", "7 heads", "mlp"],
)
def test_edges_are_the_weights(make, residual):
    bimt = shuffled(sparse(make()))
    graph = connection_graph(bimt, residual)
    count, total, positive = defaultdict(int), defaultdict(float), defaultdict(int)
    for *_, data in graph.edges(data=True):
        count[data["parameter"]] += 1
        total[data["parameter"]] += data["weight"]
        positive[data["parameter"]] += data["sign"] > 0
        assert data["sign"] in (-1, 1)
    weights = {c.parameter: bimt.parameters[c.parameter].detach() for c in bimt.wiring.connections}
    assert weights.keys() == count.keys()
    for name, weight in weights.items():
        assert count[name] == int(weight.count_nonzero())
        assert positive[name] == int((weight > 0).sum())
        assert total[name] == pytest.approx(float(weight.abs().double().sum()), rel=1e-12)
    assert not any("b_" in name or name.endswith("bias") for name in count)


def test_all_parts_of_a_transformer_are_there():
    graph = connection_graph(BIMT(transformer()))
    parameters = {parameter for *_, parameter in graph.edges(data="parameter")}
    parts = [f"blocks.{i}.{w}" for i in (0, 1) for w in (*(f"attn.W_{x}" for x in "QKVO"), "mlp.W_in", "mlp.W_out")]
    assert parameters == {"embed.W_E", "unembed.W_U", *parts}


@pytest.mark.parametrize(("n_heads", "d_head"), [(1, 8), (4, 2), (7, 3)])
def test_every_edge_of_attention_joins_the_right_neurons(n_heads, d_head):
    model = sparse(transformer(n_heads=n_heads, d_head=d_head))
    graph = connection_graph(shuffled(model), "unrolled")
    for stage, name in (("q", "W_Q"), ("k", "W_K"), ("v", "W_V")):
        weight = getattr(model.blocks[1].attn, name).detach()
        for h in range(n_heads):
            for m in range(8):
                for e in range(d_head):
                    ends = ("Res2", m), (f"blocks.1.{stage}", h * d_head + e)
                    w = float(weight[h, m, e])
                    assert graph.has_edge(*ends) == (w != 0)
                    if w:
                        assert graph.edges[ends]["weight"] == abs(w)
                        assert graph.edges[ends]["sign"] == (1 if w > 0 else -1)
                        assert graph.edges[ends]["parameter"] == f"blocks.1.attn.{name}"
    w_o = model.blocks[1].attn.W_O.detach()
    for h, e, m in w_o.nonzero().tolist():
        edge = graph.edges[("blocks.1.v", h * d_head + e), ("Res3", m)]
        assert edge["sign"] * edge["weight"] == float(w_o[h, e, m])


@pytest.mark.parametrize("residual", READINGS)
@pytest.mark.parametrize(("n_heads", "d_head"), [(1, None), (4, None), (7, 3)])
def test_nodes_stand_in_their_slots(residual, n_heads, d_head):
    geometry = Geometry(width=3.0, layer_gap=0.25)
    bimt = shuffled(transformer(n_heads=n_heads, d_head=d_head), geometry)
    graph = connection_graph(bimt, residual)
    d_head = d_head or 8 // n_heads
    for (key, neuron), data in graph.nodes(data=True):
        population = bimt.wiring.populations[data["population"]]
        slot = int(bimt.layout.slots[population.name][neuron])
        assert (data["neuron"], data["slot"]) == (neuron, slot)
        assert data["x"] == pytest.approx(3.0 * (slot + 0.5) / population.size)
        assert data["head"] == (neuron // d_head if population.name.endswith((".qk", ".ov")) else NO_HEAD)
        depth = next(stage.depth for stage in bimt.wiring.stages if stage.name == data["stage"])
        assert data["y"] == pytest.approx(0.25 * depth)
        assert key == (population.name if residual == "shared" else data["stage"])
        assert "z" not in data
        assert all(type(value) in (int, float, str) for value in data.values())


def test_shared_and_unrolled_nodes():
    bimt = BIMT(sparse(transformer(), keep=0.05))
    shared, unrolled = (connection_graph(bimt, residual) for residual in READINGS)
    assert len(shared) == sum(p.size for p in bimt.wiring.populations.values())
    assert {key for key, _ in shared} == set(bimt.wiring.populations)
    assert {key for key, _ in unrolled} == {stage.name for stage in bimt.wiring.stages}
    assert {f"Res{i}" for i in range(5)} <= {key for key, _ in unrolled}
    assert shared.nodes["residual", 0]["y"] == unrolled.nodes["Res0", 0]["y"] < unrolled.nodes["Res4", 0]["y"]
    assert {data for _, data in unrolled.nodes(data="slot")} == set(range(12))


def test_parallel_weights_stay_apart():
    bimt = BIMT(transformer())
    shared, unrolled = (connection_graph(bimt, residual) for residual in READINGS)
    assert isinstance(shared, nx.MultiGraph) and not isinstance(unrolled, nx.MultiGraph)
    assert shared.number_of_edges() == unrolled.number_of_edges()
    between = shared["residual", 2]["blocks.0.mlp", 5]
    assert set(between) == {"blocks.0.mlp.W_in", "blocks.0.mlp.W_out"}
    assert between["blocks.0.mlp.W_in"]["weight"] == abs(bimt.model.blocks[0].mlp.W_in[2, 5].item())
    assert between["blocks.0.mlp.W_out"]["weight"] == abs(bimt.model.blocks[0].mlp.W_out[5, 2].item())


def test_kind_of_graph_follows_the_wiring_not_the_weights():
    model = transformer()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert isinstance(connection_graph(BIMT(model)), nx.MultiGraph)
    assert not isinstance(connection_graph(BIMT(MLP(sizes=[3, 4, 2]))), nx.MultiGraph)


def test_gate_and_in_are_parallel_even_unrolled():
    weights = {"gate": torch.ones(3, 4), "in": -torch.ones(3, 4), "out": torch.ones(4, 3)}
    model = nn.Module()
    for name, weight in weights.items():
        model.register_parameter(name, nn.Parameter(weight))
    wiring = Wiring.from_table({"gate": "res@R0 mlp", "in": "res@R0 mlp", "out": "mlp res@R1"}, model)
    graph = connection_graph(BIMT(model, wiring=wiring), "unrolled")
    assert isinstance(graph, nx.MultiGraph)
    assert graph.number_of_edges() == 36


def folded() -> BIMT:
    model = nn.Module()
    model.weight = nn.Parameter(torch.tensor([[1.0, 0.0, -3.0, 0.0], [0.5, 2.0, -0.5, 1.0]]))
    return BIMT(model, wiring=Wiring.from_table({"weight": "hidden (_ embed)"}, model, sizes={"embed": 2}))


def test_copies_of_a_folded_weight_are_one_edge():
    graph = connection_graph(folded())
    edges = {(u, v): (data["weight"], data["sign"]) for u, v, data in graph.edges(data=True)}
    by_ends = {frozenset(ends): value for ends, value in edges.items()}
    assert by_ends == {
        frozenset([("embed", 0), ("hidden", 0)]): (4.0, -1),
        frozenset([("embed", 0), ("hidden", 1)]): (1.0, 1),
        frozenset([("embed", 1), ("hidden", 1)]): (3.0, 1),
    }


def test_threshold_cuts_weights_before_copies_are_summed():
    graph = connection_graph(folded(), threshold=0.5)
    assert {data["weight"] for *_, data in graph.edges(data=True)} == {4.0, 3.0}
    assert len(graph) == 4


def test_second_coordinate_is_z():
    bimt = BIMT(MLP(sizes=[4, 9, 2]), Geometry(width=2.0, shapes={"input": "grid", "hidden0": "grid"}))
    graph = connection_graph(bimt)
    for node, data in graph.nodes(data=True):
        assert [data["x"], data["z"]] == bimt.places[data["population"]][node[1]].tolist()


def test_mistakes_are_named():
    bimt = BIMT(MLP(sizes=[3, 4, 2]))
    with pytest.raises(InputError, match="residual 'unroled'; did you mean 'unrolled'"):
        connection_graph(bimt, "unroled")
    with pytest.raises(InputError, match="threshold"):
        connection_graph(bimt, threshold=-1.0)
    with torch.no_grad():
        bimt.model.layers[1].weight[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"layers\.1\.weight.*not finite"):
        connection_graph(bimt)


@pytest.mark.parametrize("residual", READINGS)
def test_graph_survives_graphml_gexf_and_json(residual):
    graph = connection_graph(shuffled(sparse(transformer(n_heads=2), 0.2)), residual)
    total = graph.size(weight="weight")
    for write, read in ((nx.write_graphml, nx.read_graphml), (nx.write_gexf, nx.read_gexf)):
        buffer = io.BytesIO()
        write(graph, buffer)
        buffer.seek(0)
        back = read(buffer)
        assert (len(back), back.number_of_edges()) == (len(graph), graph.number_of_edges())
        assert back.size(weight="weight") == pytest.approx(total)
        for node, data in graph.nodes(data=True):
            assert data.items() <= back.nodes[str(node)].items()
    back = nx.node_link_graph(json.loads(json.dumps(nx.node_link_data(graph, edges="edges"))), edges="edges")
    assert dict(back.nodes(data=True)) == dict(graph.nodes(data=True))
    assert back.size(weight="weight") == total


def by_loop(bimt: BIMT) -> tuple[float, float]:
    weight = total = 0.0
    for connection in bimt.wiring.connections:
        source, target = (bimt.places[stage.population] for stage in connection.stages)
        for copy in connection.flatten(bimt.parameters[connection.parameter].detach()):
            for i in range(len(source)):
                for j in range(len(target)):
                    dx = (source[i] - target[j]).abs()
                    length = float(dx.sum() if bimt.geometry.norm == "l1" else dx.square().sum().sqrt())
                    weight += abs(float(copy[i, j]))
                    total += abs(float(copy[i, j])) * length
    return total / weight, total


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("shapes", [{}, {"hidden0": "grid", "input": "ring"}], ids=["lines", "planes"])
def test_wiring_length_is_the_loop(norm, shapes):
    bimt = shuffled(sparse(MLP(sizes=[4, 9, 2])), Geometry(width=1.5, layer_gap=0.7, norm=norm, shapes=shapes))
    assert wiring_length(bimt) == pytest.approx(by_loop(bimt), rel=1e-12)


def test_wiring_length_of_a_transformer_is_the_loop_and_swaps_lower_it():
    bimt = shuffled(sparse(transformer(n_heads=4, d_mlp=8)))
    before = wiring_length(bimt)
    assert before == pytest.approx(by_loop(bimt), rel=1e-12)
    bimt = BIMT(bimt.model, bimt.geometry, reduction="sum", layout=bimt.layout)
    bimt.swap()
    after = wiring_length(bimt)
    assert after == pytest.approx(by_loop(bimt), rel=1e-12)
    assert after.mean < before.mean


def test_summed_cost_is_the_wiring_length_and_the_gaps():
    bimt = BIMT(MLP(sizes=[3, 5, 2], dtype=torch.float64), Geometry(layer_gap=0.0), reduction="sum")
    assert wiring_length(bimt).total == pytest.approx(float(bimt.cost().detach()))
    before = wiring_length(bimt)
    bimt.swap()
    assert wiring_length(bimt).total <= before.total


def test_what_pays_no_length_is_not_in_the_wiring_length():
    whole, first = MLP(sizes=[3, 5, 2], dtype=torch.float64), MLP(sizes=[3, 5, 1], dtype=torch.float64)
    with torch.no_grad():
        first.layers[0].weight.copy_(whole.layers[0].weight)
        first.layers[1].weight.zero_()
    expected = wiring_length(BIMT(first))
    assert wiring_length(BIMT(whole, wiring=wire(whole).distance_free(["output"]))) == pytest.approx(
        expected, rel=1e-12
    )
    assert wiring_length(BIMT(whole)).total > expected.total


def test_wiring_length_of_nothing_is_zero():
    model = MLP(sizes=[3, 4, 2])
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert wiring_length(BIMT(model)) == (0.0, 0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_wiring_length_of_weights_that_are_not_finite_is_refused(bad):
    model = MLP([2, 2])
    assert wiring_length(BIMT(model)).as_dict().keys() == {"mean", "total"}
    with torch.no_grad():
        model.layers[0].weight[0, 0] = bad
    with pytest.raises(InputError, match="'layers.0.weight' has weights that are not finite"):
        wiring_length(BIMT(model))
