"""The scene of a network: rows at true slots, wires with their weights, densities of large networks."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from drawn_networks import NETWORKS, collisions, sparse, transformer
from hypothesis import given, settings
from hypothesis import strategies as st

from bimt_tf.analysis.active import active_weights
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.bimt import BIMT
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.figures.labels import Boxes, Spot, Word, placed, shortened
from bimt_tf.figures.network import draw_scene
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_transformer import token_transformer
from bimt_tf.scene.emphasis import emphasis_of
from bimt_tf.scene.scene import scene_of
from bimt_tf.scene.wires import STRONGEST


def test_a_scene_needs_no_matplotlib():
    code = (
        "import sys; from bimt_tf import BIMT, MLP; from bimt_tf.scene.scene import scene_of; "
        "import bimt_tf.scene.emphasis, bimt_tf.figures.labels; "
        "scene_of(BIMT(MLP([2, 3, 1]))); print('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_wires_are_the_graphs_edges(name):
    """Against the NetworkX graph, weight by weight; copies of folded connections are one edge there."""
    bimt = NETWORKS[name]()
    scene, graph = scene_of(bimt, 0.1, most_wires=10**9), connection_graph(bimt, "unrolled", 0.1)
    found: dict[frozenset, float] = {}
    for wires in scene.wires:
        source, target = scene.rows[wires.source].stage, scene.rows[wires.target].stage
        for u, v, w in zip(wires.sources.tolist(), wires.targets.tolist(), wires.weights.tolist(), strict=True):
            key = frozenset(((source, u), (target, v)))
            found[key] = found.get(key, 0.0) + abs(w)
    assert found.keys() == {frozenset(edge) for edge in graph.edges()}
    for u, v, weight in graph.edges(data="weight"):
        assert found[frozenset((u, v))] == pytest.approx(weight)
    assert scene.active == active_weights(bimt, 0.1) and scene.active + scene.off_path == scene.drawn


def test_values_stand_twice_with_the_same_slots_and_queries_keys_values_above_each_other():
    scene = scene_of(transformer(4))
    names = [row.name for row in scene.rows if row.block == 0]
    assert names == [*(f"blocks.0.{x}" for x in "qkv"), "blocks.0.v:z", "blocks.0.mlp"]
    rows = {row.name: row for row in scene.rows}
    assert (rows["blocks.0.v"].slots == rows["blocks.0.v:z"].slots).all()
    assert (rows["blocks.0.q"].slots == rows["blocks.0.k"].slots).all()
    by_parameter = {wires.parameter: wires for wires in scene.wires}
    assert scene.rows[by_parameter["blocks.0.attn.W_V"].target].name == "blocks.0.v"
    assert scene.rows[by_parameter["blocks.0.attn.W_O"].source].name == "blocks.0.v:z"
    assert all(low.y < high.y for low, high in zip(scene.rows, scene.rows[1:], strict=False))


def test_tokens_are_rows_that_share_slots():
    bimt = NETWORKS["tokens"]()
    scene = scene_of(bimt)
    first, second = scene.rows[:2]
    assert (first.label, second.label) == ("embed, token 0", "embed, token 1")
    assert (first.slots == second.slots).all() and first.y < second.y
    weight = bimt.parameters["layers.0.weight"].detach()  # [hidden, (token embed)]
    for token, wires in enumerate(w for w in scene.wires if w.parameter == "layers.0.weight"):
        own = weight[:, token * 10 : (token + 1) * 10]
        assert len(wires.weights) == int((own != 0).sum()) and wires.source == token
        assert np.allclose(own[wires.targets, wires.sources].numpy(), wires.weights)
    (table,) = scene.tables
    assert (table.parameter, table.entries, table.below) == ("embed.weight", 7, True)


def test_a_token_transformers_tables_are_on_its_ends():
    bimt = BIMT(token_transformer(11, 4, d_model=8, n_layers=1, n_heads=2))
    scene = scene_of(bimt)
    last = len(scene.rows) - 1
    below = {t.parameter: t for t in scene.tables if t.below and t.row == 0}
    above = {t.parameter: t for t in scene.tables if not t.below and t.row == last}
    assert [t.entries for t in below.values()] == [11, 4] and [t.entries for t in above.values()] == [11]
    (name, table), *_ = below.items()
    sizes = bimt.parameters[name].detach().double().square().mean(0).sqrt().numpy()
    assert np.allclose(table.sizes, sizes) and collisions(draw_scene(scene)) == []


def test_biases_are_those_of_neurons_with_weights():
    bimt = sparse(MLP([3, 5, 2]), 1.0)
    with torch.no_grad():
        bimt.model.layers[0].weight[2] = 0
        bimt.model.layers[1].weight[:, 2] = 0
        bimt.model.layers[0].bias.copy_(torch.tensor([0.5, -1.0, 3.0, 0.0, 0.01]))
    (biases,) = (b for b in scene_of(bimt, 0.1).biases if b.parameter == "layers.0.bias")
    assert biases.neurons.tolist() == [0, 1] and biases.values.tolist() == [0.5, -1.0] and biases.largest == 3.0


def test_dead_ends_and_neurons_without_input():
    bimt = sparse(MLP([2, 4, 1]), 1.0)
    with torch.no_grad():
        first, second = (layer.weight for layer in bimt.model.layers)
        first.fill_(1.0), second.fill_(1.0)
        first[1] = 0  # neuron 1 has no input
        second[:, 2] = 0  # neuron 2 leads nowhere
        first[3], second[:, 3] = 0, 0  # neuron 3 has no weights
    scene = scene_of(bimt)
    assert scene.states[1].tolist() == [4, 2, 1, 0]
    assert (scene.active, scene.off_path) == (3, 3)


def test_a_large_network_has_densities_and_its_strongest_wires():
    bimt = sparse(MLP([30, 200, 10]), 0.9)
    scene = scene_of(bimt, 0.2, most_wires=1000)
    assert scene.dense and STRONGEST <= scene.drawn <= STRONGEST + 2
    strengths = []
    for wires, layer in zip(scene.wires, bimt.model.layers, strict=True):
        weight = layer.weight.detach().double()
        kept = weight[weight.abs() > 0.2]
        assert wires.density.positive.sum() == pytest.approx(float(kept[kept > 0].sum()))
        assert wires.density.negative.sum() == pytest.approx(float(-kept[kept < 0].sum()))
        assert max(wires.density.positive.shape) <= 64
        strengths.append((kept.abs() / kept.abs().max()).numpy())
    assert scene.active + scene.off_path == sum(map(len, strengths))
    least = np.sort(np.concatenate(strengths))[-STRONGEST]
    assert min(wires.strength.min() for wires in scene.wires) == pytest.approx(least)
    whole = scene_of(bimt, 0.2, most_wires=10**6)
    assert not whole.dense and (whole.active, whole.positive) == (scene.active, scene.positive)
    for one, other in zip(scene.wires, whole.wires, strict=True):
        assert (one.reads == other.reads).all() and (one.writes == other.writes).all()


def test_densities_lie_where_the_neurons_stand():
    bimt = sparse(MLP([100, 100]), 1.0)
    with torch.no_grad():
        weight = bimt.model.layers[0].weight
        weight.zero_()
        weight[7, 3] = 2.0
    (wires,) = scene_of(bimt, most_wires=0).wires
    s, t = np.unravel_index(wires.density.positive.argmax(), wires.density.positive.shape)
    places = bimt.places
    assert wires.density.source_x[s] == pytest.approx(places["input"][3, 0] / 2, abs=1 / 64)
    assert wires.density.target_x[t] == pytest.approx(places["output"][7, 0] / 2, abs=1 / 64)


@pytest.mark.parametrize("name", ["1 head", "tokens", "grids", "dense"])
def test_a_scene_is_ready_for_json(name):
    scene = scene_of(NETWORKS[name]())
    told = json.loads(json.dumps(scene.as_dict()))
    assert [len(wires["weights"]) for wires in told["wires"]] == [len(wires.weights) for wires in scene.wires]
    assert [len(row["x"]) for row in told["rows"]] == [row.size for row in scene.rows]
    assert told["active"] == scene.active


def test_a_table_of_ones_own_has_a_scene():
    shapes = {"w": torch.ones(3, 2), "skip": torch.ones(2, 4)}
    wiring = Wiring.from_table({"w": "b a", "skip": "a c"}, shapes, rows=[["a"], ["b"], ["c"]])
    module = torch.nn.Module()
    for name, tensor in shapes.items():
        module.register_parameter(name, torch.nn.Parameter(tensor))
    scene = scene_of(BIMT(module, wiring=wiring))
    assert [(wires.source, wires.target) for wires in scene.wires] == [(0, 1), (0, 2)]


def test_what_cannot_be_a_scene_is_named():
    bimt = sparse(MLP([2, 3, 1]))
    with pytest.raises(InputError, match="threshold"):
        scene_of(bimt, -1.0)
    with torch.no_grad():
        bimt.model.layers[0].weight[0, 0] = float("inf")
    with pytest.raises(InputError, match="'layers.0.weight' has weights that are not finite"):
        scene_of(bimt)


def square(text: str, size: float) -> tuple[float, float]:
    return size * len(text), size


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 20), st.integers(1, 4)), max_size=30))
@settings(max_examples=50, deadline=None)
def test_placed_words_never_overlap(points):
    spots = [
        Spot(dx, dy, (1 - dx) / 2, (1 - dy) / 2, up, 3) for dx in (1, -1) for dy in (1, -1) for up in (False, True)
    ]
    words = [Word("a" * n, x, y, spots) for x, y, n in points]
    found, boxes = placed(words, Boxes(), square), []
    for word, spot in zip(words, found, strict=True):
        if spot is not None:
            wide, high = square(word.text, 3) if not spot.upright else square(word.text, 3)[::-1]
            left, low = word.x + spot.dx - spot.across * wide, word.y + spot.dy - spot.up * high
            boxes.append((left, low, left + wide, low + high))
    assert all(
        min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])
        for i, a in enumerate(boxes) for b in boxes[:i]
    )  # fmt: skip
    assert found[:1] != [None]


def test_long_texts_are_shortened():
    assert shortened("short", 1, 10, square) == "short"
    assert shortened("a long\nname", 1, 8, square) == "a long…"


@pytest.mark.parametrize("value", ["x", None, float("nan"), float("inf"), -1.5e308])
def test_a_value_that_is_no_number_is_named(value):
    with pytest.raises(InputError, match=r"value of \('input', 1\) must be a finite number"):
        emphasis_of(scene_of(BIMT(MLP([2, 3, 1]))), values={("input", 1): value})
    with pytest.raises(InputError, match="values must be a Mapping"):
        emphasis_of(scene_of(BIMT(MLP([2, 3, 1]))), values=[value])


def test_effects_that_are_no_mapping_are_refused():
    with pytest.raises(InputError, match="effects must be a Mapping, found a int"):
        scene_of(BIMT(MLP([2, 3, 1])), effects=3)
