"""The picture of a network: wires of true length, words that do not collide, one count everywhere."""

from __future__ import annotations

import io
import re
from itertools import combinations, pairwise

import matplotlib
import numpy as np
import pytest
import torch
from drawn_networks import NETWORKS, collisions, lines_of, sparse, text_boxes, texts, transformer
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from bimt_tf.analysis.active import active_weights
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import live
from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.errors import InputError
from bimt_tf.figures.network import draw_scene, network_figure
from bimt_tf.figures.network_wires import fading
from bimt_tf.figures.style import METHOD_COLOURS, MODULES, MUTED, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.models.mlp import MLP
from bimt_tf.scene.rows import SHEAR
from bimt_tf.scene.scene import ACTIVE, CARRIED, IDLE, scene_of


@pytest.fixture(autouse=True)
def nothing_global():
    before = matplotlib.rcParams.copy()
    yield
    assert matplotlib.rcParams.copy() == before


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "no width"])
def test_every_wire_has_its_true_length(name):
    """Drawn |dx| against the geometry's |dx| times one scale, all wires of all matrices."""
    bimt = NETWORKS[name]()
    figure = draw_scene(scene_of(bimt, most_wires=10**9))
    places, scale = bimt.places, 1 / float(bimt.geometry.width)
    drawn, checked = lines_of(figure), 0
    for connection in bimt.wiring.connections:
        weights = connection.flatten(bimt.parameters[connection.parameter].detach())
        source, target = (places[stage.population][:, 0] for stage in connection.stages)
        _, u, v = weights.nonzero(as_tuple=True)
        true = np.sort(np.abs((source[u] - target[v]).numpy()) * scale)
        segments = np.array(drawn[connection.parameter]).reshape(-1, 2, 2)
        if name != "grids":
            found = np.sort(np.abs(np.diff(segments[:, :, 0], axis=1)).ravel())
            assert np.allclose(found, true, atol=1e-12), connection.parameter
        checked += len(segments)
        assert len(segments) == len(true)
    assert checked == sum(int((bimt.parameters[c.parameter] != 0).sum()) for c in bimt.wiring.connections) > 0


def test_planes_are_drawn_in_oblique_projection():
    """x is true, and a second coordinate adds its lift to y and SHEAR of it to x."""
    bimt = NETWORKS["grids"]()
    scene = scene_of(bimt)
    drawn = lines_of(draw_scene(scene))
    for wires in scene.wires:
        ends = []
        for number, neurons in ((wires.source, wires.sources), (wires.target, wires.targets)):
            row = scene.rows[number]
            true = bimt.places[row.population][neurons].numpy() / float(bimt.geometry.width)
            lift = row.lift[neurons]
            assert np.allclose(row.x[neurons], true[:, 0])
            assert abs(np.corrcoef(lift, true[:, 1])[0, 1]) > 0.999
            ends.append(np.stack([true[:, 0] + SHEAR * lift, row.y + lift], axis=1))
        expected = sorted(np.stack(ends, axis=1).round(9).tolist())
        assert expected == sorted(np.array(drawn[wires.parameter]).round(9).tolist())


@pytest.mark.parametrize("name", NETWORKS)
def test_title_key_and_note_count_one_thing(name):
    bimt = NETWORKS[name]()
    said, active = " ".join(texts(network_figure(bimt, threshold=0.05))), active_weights(bimt, 0.05)
    positive, negative = (
        int(re.search(rf"\b{sign} \(([\d,]+)\)", said)[1].replace(",", "")) for sign in ("positive", "negative")
    )
    assert positive + negative == active
    assert f"{active:,} active weights of {bimt.wiring.total_weights:,}: |w| > 0.05" in said


@pytest.mark.parametrize("name", ["mlp", "1 head", "4 heads, 3 blocks", "eliminated"])
def test_each_line_has_its_sign_and_wires_off_every_path_are_grey_and_dotted(name):
    bimt = NETWORKS[name]()
    graph = connection_graph(bimt, "unrolled")
    on, directed = live(graph), nx_on_path(graph)
    figure = network_figure(bimt)
    colours: list[str] = []
    for lines in figure.findobj(LineCollection):
        if str(lines.get_gid()).startswith("wires "):
            colours += [to_hex(colour) for colour in lines.get_colors()]
            assert (lines.get_colors()[:, 3] > 0.05).all()
            dashes = [style[1] is not None for style in lines.get_linestyle()]
            assert dashes == [to_hex(colour) != WIRE_POSITIVE.lower() for colour in lines.get_colors()]
    signs = [data["sign"] for u, v, data in graph.edges(data=True) if (u, v) in directed]
    assert len(on) > 0 and colours.count(WIRE_POSITIVE.lower()) == signs.count(1)
    assert colours.count(WIRE_NEGATIVE.lower()) == signs.count(-1)
    assert colours.count(MUTED.lower()) == graph.number_of_edges() - len(signs)


def nx_on_path(graph):
    """Edges on a path from the first row to the last, the shallower end fed and the deeper read."""
    import networkx as nx

    from bimt_tf.analysis.paths import flow

    directed = flow(graph)
    depth = nx.get_node_attributes(directed, "depth")
    first = {n for n, d in depth.items() if d == min(depth.values())}
    last = {n for n, d in depth.items() if d == max(depth.values())}
    fed = first | {n for f in first for n in nx.descendants(directed, f)}
    read = last | {n for f in last for n in nx.ancestors(directed, f)}
    found = set()
    for u, v in graph.edges():
        a, b = (u, v) if depth[u] < depth[v] else (v, u)
        if a in fed and b in read:
            found.add((u, v))
    return found


def test_neurons_are_drawn_by_what_they_are():
    bimt = transformer(2, 2, 0.1)
    scene, figure = scene_of(bimt), network_figure(bimt)
    for state in range(5):
        drawn = [c for c in figure.findobj(PathCollection) if c.get_gid() == f"state {state}"]
        columns = sum(len(c.get_offsets()) for c in drawn)
        assert columns == sum(int((states == state).sum()) for states in scene.states)
    graph = connection_graph(bimt, "unrolled")
    shown = {
        (row.stage, i)
        for row, states in zip(scene.rows, scene.states, strict=True)
        for i in np.flatnonzero(np.isin(states, (ACTIVE, CARRIED))).tolist()
    }
    assert shown == live(graph)
    for row, states in zip(scene.rows, scene.states, strict=True):
        assert all(graph.degree[row.stage, int(i)] == 0 for i in np.flatnonzero(states == IDLE))
    said = texts(figure)
    assert {"active", "dead end: leads to no output", "without input", "neuron without weights"} <= set(said)


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_heads_are_boxed_and_named(heads):
    bimt = transformer(heads, 2)
    figure = network_figure(bimt)
    boxes = [box for box in figure.findobj(Rectangle) if str(box.get_gid()).startswith("head ")]
    assert len(boxes) == 2 * 4 * heads
    words = texts(figure)
    assert [words.count(letter) for letter in ("Q", "K", "V", "O (z)")] == [2] * 4
    assert all(1 <= words.count(f"head {head}") <= 8 for head in range(heads))
    scene = scene_of(bimt)
    for row in scene.rows:
        for box in row.boxes:
            inside = (box.left < row.x) & (row.x < box.right)
            assert (row.heads[inside] == box.head).all() and inside.sum() == 16 // heads


def test_active_neurons_are_numbered_by_their_index():
    bimt = NETWORKS["eliminated"]()
    scene, figure = scene_of(bimt), network_figure(bimt)
    numbered = [t for t in figure.findobj(matplotlib.text.Annotation) if t.get_gid() == "number"]
    expected = sum(int(np.isin(states, (1, 2, 4)).sum()) for states in scene.states)
    assert len(numbered) >= 0.9 * expected
    for text in numbered:
        x, y = text.xy
        row = min(scene.rows, key=lambda row: abs(row.y - y))
        assert row.x[int(text.get_text())] == x


def test_the_strongest_weight_of_each_matrix_is_equally_wide():
    bimt = sparse(MLP(sizes=[3, 6, 2]), 1.0)
    with torch.no_grad():
        bimt.model.layers[1].weight.mul_(1e-3)
    widths = [
        np.max(lines.get_linewidths())
        for lines in network_figure(bimt).findobj(LineCollection)
        if str(lines.get_gid()).startswith("wires ")
    ]
    assert len(widths) == 2 and widths[0] == pytest.approx(widths[1])


def test_neurons_stand_by_their_slots_where_there_is_no_width():
    bimt = NETWORKS["no width"]()
    scene, figure = scene_of(bimt), network_figure(bimt)
    row = next(row for row in scene.rows if row.name == "hidden0")
    assert np.argsort(row.x).tolist() == bimt.layout.order("hidden0").tolist()
    assert any("by their slots (width 0)" in text for text in texts(figure))


def test_many_rows_stand_in_several_columns():
    for name, columns in (("deep mlp", 2), ("8 heads, 4 blocks", 2), ("1 head", 1)):
        bimt = NETWORKS[name]()
        figure = network_figure(bimt)
        assert len(figure.axes) == columns
        drawn = sum(map(len, lines_of(figure).values()))
        assert drawn == sum(int((bimt.parameters[c.parameter] != 0).sum()) for c in bimt.wiring.connections)


def test_highlighted_neurons_are_ringed_and_other_wires_fade():
    bimt = transformer()
    scene = scene_of(bimt)
    wires = next(w for w in scene.wires if len(w.weights))
    u, v = ((scene.rows[r].stage, int(n[0])) for r, n in ((wires.source, wires.sources), (wires.target, wires.targets)))
    for highlight, most in (([u], None), ([(u, v)], 1)):
        figure = network_figure(bimt, highlight=highlight)
        rings = [c for c in figure.findobj(PathCollection) if c.get_gid() == "highlight"]
        assert sum(len(c.get_offsets()) for c in rings) >= (1 if most is None else 2)
        alphas = np.concatenate(
            [c.get_colors()[:, 3] for c in figure.findobj(LineCollection) if str(c.get_gid()).startswith("wires ")]
        )
        assert (alphas > 0.2).sum() == 1 if most else 0 < (alphas > 0.2).sum() < len(alphas) / 2
        assert "highlighted" in texts(figure)


def test_a_population_is_highlighted_at_every_depth():
    figure = network_figure(transformer(), highlight=[("residual", 3)])
    rings = [c for c in figure.findobj(PathCollection) if c.get_gid() == "highlight"]
    assert sum(len(c.get_offsets()) for c in rings) == 5


def test_modules_values_and_effects_colour():
    bimt = sparse(MLP(sizes=[4, 8, 2]), 1.0)
    nodes = [("hidden0", i) for i in range(8)]
    modules = {"first": [("input", 0), ("input", 1), *nodes[:4]], "second": [("input", 2), *nodes[4:]]}
    figure = network_figure(bimt, modules=modules)
    (lower,) = (c for c in figure.findobj(LineCollection) if c.get_gid() == "wires layers.0.weight")
    found = [to_hex(colour) for colour in lower.get_colors()]
    assert (found.count(MODULES[0].lower()), found.count(MODULES[1].lower())) == (8, 4)
    assert {"first", "second", "between modules"} <= set(texts(figure))
    assert collisions(figure) == []

    values = network_figure(bimt, values={node: i / 7 for i, node in enumerate(nodes)}, values_name="R2 of x1")
    (dots,) = (c for c in values.findobj(PathCollection) if c.get_gid() == "values" and len(c.get_offsets()))
    assert np.allclose(dots.get_array(), np.arange(8) / 7) and {"R2 of x1:", "0", "1"} <= set(texts(values))
    assert collisions(values) == []

    effects = {"layers.0.weight": torch.arange(32.0).reshape(8, 4)}
    figure = network_figure(bimt, effects=effects, effects_name="loss without it")
    (lower,) = (c for c in figure.findobj(LineCollection) if c.get_gid() == "wires layers.0.weight")
    assert len({to_hex(colour) for colour in lower.get_colors()}) > 20 and collisions(figure) == []
    with pytest.raises(InputError, match="give one of them"):
        network_figure(bimt, effects=effects, modules=modules)


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_every_format_is_written(form):
    drawn = io.BytesIO()
    network_figure(transformer(2), title="$ & <b>").savefig(drawn, format=form)
    assert len(drawn.getvalue()) > 10_000


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira and Fernandes (2009), severity 1
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def test_signs_differ_for_the_colour_blind_and_in_grey():
    positive, negative = linear(WIRE_POSITIVE), linear(WIRE_NEGATIVE)
    grey = np.array([0.2126, 0.7152, 0.0722])
    lightness = [116 * np.cbrt(grey @ colour) - 16 for colour in (positive, negative)]
    assert lightness[1] - lightness[0] > 25
    for name, matrix in BLIND.items():
        seen = [np.clip(np.array(matrix) @ colour, 0, 1) for colour in (positive, negative)]
        assert np.linalg.norm(seen[0] - seen[1]) > 0.25, name


def test_modules_differ_by_marker_and_colour():
    from bimt_tf.figures.style import MODULE_MARKERS

    assert len(set(MODULES)) == len(set(MODULE_MARKERS)) == len(MODULES)
    assert METHOD_COLOURS and all(a != b for a, b in combinations(MODULES, 2))


@pytest.mark.parametrize("geometry", [Geometry(width=0.0), Geometry(layer_gap=0.0)], ids=["no width", "no gap"])
def test_neurons_never_coincide(geometry):
    bimt = BIMT(MLP(sizes=[9, 16, 2]), geometry)
    spots = [c for c in network_figure(bimt).findobj(PathCollection) if c.get_gid() == f"state {ACTIVE}"]
    assert len({tuple(np.round(p, 9)) for c in spots for p in c.get_offsets().tolist()}) == 27


def test_a_network_without_weights_can_be_drawn():
    bimt = transformer()
    with torch.no_grad():
        for p in bimt.model.parameters():
            p.zero_()
    figure = network_figure(bimt)
    assert not any(lines_of(figure).values()) and collisions(figure) == []
    assert any(text.startswith("0 active weights") for text in texts(figure))


def test_every_label_of_a_ring_is_drawn():
    bimt = BIMT(MLP([3, 4, 10]), Geometry(shapes={"output": "ring"}))
    words = [f"class {i}" for i in range(10)]
    figure = network_figure(bimt, labels={"output": words})
    assert set(words) <= set(texts(figure)) and collisions(figure) == []


def test_names_without_room_are_counted():
    bimt = sparse(MLP([3, 190, 2]), 0.1)
    figure = network_figure(bimt, labels={"hidden0": [f"neuron {i}" for i in range(190)]})
    drawn = sum(str(t.get_gid()).startswith("label ") for t in figure.findobj(matplotlib.text.Text))
    assert 0 < drawn < 190 and f"{190 - drawn:,} names of neurons found no room" in " ".join(texts(figure))


def test_rows_are_named_and_counted():
    bimt = transformer(2)
    words, boxes = text_boxes(network_figure(bimt))
    assert {"input", "Res0", "Res4", "MLP", "output", "block 0", "block 1"} <= set(words)
    levels = [boxes[words.index(name), 1] for name in ("input", "Res0", "Q", "Res1", "Res2", "Res4", "output")]
    assert all(low < high for low, high in pairwise(levels))


def test_mistakes_are_named():
    bimt = transformer()
    with pytest.raises(InputError, match="bimt must be a BIMT"):
        network_figure(connection_graph(bimt))
    with pytest.raises(InputError, match="stage in labels 'inptu'; did you mean 'input'"):
        network_figure(bimt, labels={"inptu": ["a", "b"]})
    with pytest.raises(InputError, match="'input' must be 2 names, found 1"):
        network_figure(bimt, labels={"input": ["a"]})
    with pytest.raises(InputError, match="Res9"):
        network_figure(bimt, highlight=[("Res9", 0)])
    with pytest.raises(InputError, match="16 neurons, 0 to 15"):
        network_figure(bimt, highlight=[("Res0", 16)])
    with pytest.raises(InputError, match="no weight above the threshold joins"):
        network_figure(bimt, highlight=[(("input", 0), ("Res4", 1))])
    with pytest.raises(InputError, match="two modules"):
        network_figure(bimt, modules={"a": [("Res0", 1)], "b": [("Res0", 1)]})
    with pytest.raises(InputError, match="finite"):
        network_figure(bimt, values={("Res0", 1): float("nan")})
    with pytest.raises(InputError, match=r"effects of 'embed.W_E' must be \[2, 16\], found \[3\]"):
        network_figure(bimt, effects={"embed.W_E": torch.zeros(3)})
    with pytest.raises(InputError, match="parameter in effects 'embed.W'"):
        network_figure(bimt, effects={"embed.W": torch.zeros(3)})


def ink_of(figure, scene):
    """(ink, |w| over the largest of its matrix, (source, target)) of every wire that is drawn and active."""
    found = []
    for wires in scene.wires:
        collections = [c for a in figure.axes for c in a.collections if c.get_gid() == f"wires {wires.parameter}"]
        (drawn,) = collections
        ink = drawn.get_colors()[:, 3] * np.asarray(drawn.get_linewidths())
        order = np.argsort(ink, kind="stable")
        assert len(order) == len(wires.weights) and wires.active.all()
        found.append((ink, np.sort(wires.strength), np.asarray(drawn.get_linewidths())))
    return found


def test_in_a_dense_layer_more_weight_is_more_ink_and_the_strong_wires_stand_out():
    bimt = sparse(MLP([40, 60, 2]), 1.0)  # 2,400 wires between two rows
    scene = scene_of(bimt)
    figure = draw_scene(scene)
    for ink, strength, widths in ink_of(figure, scene):
        assert (np.diff(ink) >= -1e-9).all()  # they are drawn from weak to strong
        assert (np.diff(widths) >= -1e-9).all() and (np.diff(strength) >= 0).all()
    ink = ink_of(figure, scene)[0][0]
    tenth = ink[-len(ink) // 10 :].sum() / ink.sum()
    even = (strength := ink_of(figure, scene)[0][1]) * (0.3 + 0.65 * np.sqrt(strength))  # if all were paler alike
    assert tenth > 0.5 > even[-len(even) // 10 :].sum() / even.sum()
    assert any("fade by rank" in text for text in texts(figure))


def test_a_few_wires_keep_all_their_ink():
    scene = scene_of(sparse(MLP([4, 6, 2]), 1.0))
    assert all((fading(scene, wires) == 1).all() for wires in scene.wires)
    assert not any("fade by rank" in text for text in texts(draw_scene(scene)))
