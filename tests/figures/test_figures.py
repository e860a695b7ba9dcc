"""Figures: the artists that must be there, and that nothing global is touched."""

from __future__ import annotations

import io
import math

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import live
from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.bimt import BIMT
from bimt_tf.config.methods import METHODS
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.errors import InputError
from bimt_tf.figures.comparison import Panel, comparison_figure
from bimt_tf.figures.confusion import confusion_figure
from bimt_tf.figures.curves import curves_figure
from bimt_tf.figures.network import network_figure
from bimt_tf.figures.pair import pair_figure
from bimt_tf.figures.prediction import prediction_figure
from bimt_tf.figures.pruning_curves import pruning_curves_figure
from bimt_tf.figures.style import METHOD_COLOURS, METHOD_MARKERS, NEGATIVE, POSITIVE
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer


@pytest.fixture(autouse=True)
def nothing_global():
    before = matplotlib.rcParams.copy()
    yield
    assert matplotlib.rcParams.copy() == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def sparse(model: nn.Module, keep: float = 0.1) -> BIMT:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.rand(p.shape, generator=generator) < keep)
    bimt = BIMT(model)
    bimt.layout = Layout.random(bimt.wiring, generator)
    return bimt


def transformer(n_heads: int = 1, d_head: int | None = None) -> BIMT:
    return sparse(RegressionTransformer(d_model=8, n_layers=2, n_heads=n_heads, d_head=d_head, d_mlp=16))


def named(figure: Figure, gid: str, kind: type) -> list:
    return [artist for artist in figure.findobj(kind) if artist.get_gid() == gid]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


MODELS = {
    "mlp": lambda: sparse(MLP(sizes=[4, 20, 20, 2]), 0.3),
    "1 head": transformer,
    "4 heads": lambda: transformer(4),
    "7 heads": lambda: transformer(7, 3),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_every_weight_is_a_line_of_its_sign(make):
    bimt = make()
    graph = connection_graph(bimt, "unrolled")
    figure = network_figure(graph, bimt.wiring, title="a title")
    (lines,) = named(figure, "connections", LineCollection)
    segments = lines.get_segments()
    assert len(segments) == graph.number_of_edges() > 0
    colours = [to_hex(colour) for colour in lines.get_colors()]
    signs = [sign for *_, sign in graph.edges(data="sign")]
    assert colours.count(POSITIVE.lower()) == signs.count(1)
    assert colours.count(NEGATIVE.lower()) == signs.count(-1)
    alphas = lines.get_colors()[:, 3]
    assert (np.diff(alphas) >= 0).all() and 0.03 < alphas.min() and alphas.max() <= 1
    assert any(f"{len(segments)} connections" in text for text in texts(figure))
    assert "a title" in texts(figure)
    assert png(figure)


def test_each_line_joins_its_neurons_in_its_colour():
    bimt = transformer(4)
    graph = connection_graph(bimt, "unrolled")
    rows = {stage.name: stage.depth for stage in bimt.wiring.stages}
    figure = network_figure(graph, bimt.wiring)
    (lines,) = named(figure, "connections", LineCollection)
    drawn = sorted(
        (*sorted(round(y) for y in np.asarray(segment)[:, 1].tolist()), to_hex(colour))
        for segment, colour in zip(lines.get_segments(), lines.get_colors(), strict=True)
    )
    expected = sorted(
        (*sorted((rows[u[0]], rows[v[0]])), (POSITIVE if sign > 0 else NEGATIVE).lower())
        for u, v, sign in graph.edges(data="sign")
    )
    assert drawn == expected


def test_the_strongest_weight_of_each_tensor_is_equally_wide():
    bimt = sparse(MLP(sizes=[3, 6, 2]), 1.0)
    with torch.no_grad():
        bimt.model.layers[1].weight.mul_(1e-3)
    (lines,) = named(network_figure(connection_graph(bimt, "unrolled"), bimt.wiring), "connections", LineCollection)
    upper = np.array([np.asarray(segment)[:, 1].max() > 1.5 for segment in lines.get_segments()])
    widths = np.asarray(lines.get_linewidths())
    assert widths[upper].max() == pytest.approx(widths[~upper].max())


@pytest.mark.parametrize("model", ["1 head", "4 heads", "7 heads"])
def test_heads_are_banded_and_named(model):
    bimt = MODELS[model]()
    heads = int(model.split()[0])
    figure = network_figure(connection_graph(bimt, "unrolled"), bimt.wiring)
    bands = named(figure, "head", Rectangle)
    assert len(bands) == 2 * 3 * heads
    words = texts(figure)
    for head in range(heads):
        assert words.count(f"head {head}") == 6
    assert [words.count(letter) for letter in "QKV"] == [2, 2, 2]
    assert {"Res0", "Res4", "MLP", "input", "output", "Attn head" if heads == 1 else "Attn heads"} <= set(words)


@pytest.mark.parametrize("model", ["4 heads", "7 heads"])
def test_a_heads_neurons_lie_in_its_band(model):
    bimt = MODELS[model]()
    graph = connection_graph(bimt, "unrolled")
    figure = network_figure(graph, bimt.wiring)
    spots = np.concatenate(
        [c.get_offsets() for gid in ("active", "off path", "unconnected") for c in named(figure, gid, PathCollection)]
    )
    per_head = bimt.wiring.populations["blocks.0.qk"].head_size
    for band in named(figure, "head", Rectangle):
        (left, right), (low, high) = band.get_bbox().intervalx, band.get_bbox().intervaly
        inside = [x for x, y in spots.tolist() if left < x < right and low < y < high]
        assert len(inside) == per_head


def test_active_neurons_are_told_from_those_off_the_path_and_those_without_weights():
    bimt = transformer()
    graph = connection_graph(bimt, "unrolled")
    figure = network_figure(graph, bimt.wiring)
    active, off, unconnected = (named(figure, gid, PathCollection)[0] for gid in ("active", "off path", "unconnected"))
    degrees = dict(graph.degree())
    assert len(active.get_offsets()) == len(live(graph))
    assert len(off.get_offsets()) == sum(d > 0 and node not in live(graph) for node, d in degrees.items()) > 0
    carried = {node for node in live(graph) if not degrees[node]}  # on a path, without weights of their own
    assert carried and all(graph.nodes[node]["population"] == "residual" for node in carried)
    assert len(unconnected.get_offsets()) == sum(d == 0 for d in degrees.values()) - len(carried)
    assert unconnected.get_sizes().max() < active.get_sizes().min()
    used = sum(("blocks.0.mlp", n) in live(graph) for n in range(bimt.wiring.populations["blocks.0.mlp"].size))
    assert f"{used}/{bimt.wiring.populations['blocks.0.mlp'].size}" in texts(figure)


def test_neurons_stand_in_the_order_of_slots():
    bimt = sparse(MLP(sizes=[4, 20, 20, 2]), 1.0)
    graph = connection_graph(bimt, "unrolled")
    figure = network_figure(graph, bimt.wiring, labels={"hidden0": [f"n{i}" for i in range(20)]})
    xs = {t.get_text(): t.xy[0] for t in figure.findobj(matplotlib.text.Annotation) if t.get_text().startswith("n")}
    order = sorted(range(20), key=lambda i: xs[f"n{i}"])
    assert order == bimt.layout.order("hidden0").tolist()


def test_labels_and_highlight():
    bimt = transformer()
    graph = connection_graph(bimt, "unrolled")
    labels = {"input": ["first", "second"], "output": ["y", "unused"]}
    figure = network_figure(graph, bimt.wiring, labels=labels, highlight=[("Res2", 3), ("Res2", 7)])
    assert {"first", "second", "y", "unused", "3", "7"} <= set(texts(figure))
    (rings,) = named(figure, "highlight", PathCollection)
    assert len(rings.get_offsets()) == 2
    (plain,) = named(network_figure(graph, bimt.wiring), "connections", LineCollection)
    (faded,) = named(figure, "connections", LineCollection)
    assert faded.get_colors()[:, 3].sum() < plain.get_colors()[:, 3].sum()
    assert faded.get_colors()[:, 3].max() <= plain.get_colors()[:, 3].max()


def test_the_stream_joins_stages_of_one_neuron():
    bimt = transformer()
    graph = connection_graph(bimt, "unrolled")
    (stream,) = named(network_figure(graph, bimt.wiring), "stream", LineCollection)
    stages = [[f"Res{i}" for i in range(5) if graph.degree[f"Res{i}", n]] for n in range(8)]
    assert len(stream.get_segments()) == sum(len(used) > 1 for used in stages)
    assert all(segment[0][0] == segment[-1][0] for segment in stream.get_segments())


@pytest.mark.parametrize(
    "geometry",
    [Geometry(width=0.0), Geometry(layer_gap=0.0), Geometry(shapes={"input": "grid", "hidden0": "ring"})],
    ids=["no width", "no gap", "planes"],
)
def test_neurons_never_coincide(geometry):
    bimt = BIMT(MLP(sizes=[9, 16, 2]), geometry)
    figure = network_figure(connection_graph(bimt, "unrolled"), bimt.wiring)
    (spots,) = named(figure, "active", PathCollection)
    assert len({tuple(np.round(place, 9)) for place in spots.get_offsets().tolist()}) == 27
    assert png(figure)


def test_a_network_without_weights_can_be_drawn():
    bimt = transformer()
    with torch.no_grad():
        for p in bimt.model.parameters():
            p.zero_()
    figure = network_figure(connection_graph(bimt, "unrolled"), bimt.wiring)
    assert len(named(figure, "connections", LineCollection)[0].get_segments()) == 0
    assert png(figure)


def test_network_mistakes_are_named():
    bimt, other = transformer(), MODELS["mlp"]()
    graph = connection_graph(bimt, "unrolled")
    with pytest.raises(InputError, match="residual='unrolled'"):
        network_figure(connection_graph(bimt), bimt.wiring)
    with pytest.raises(InputError, match="another model"):
        network_figure(graph, other.wiring)
    with pytest.raises(InputError, match="stage in labels 'inptu'; did you mean 'input'"):
        network_figure(graph, bimt.wiring, labels={"inptu": ["a", "b"]})
    with pytest.raises(InputError, match="'input' must be 2 names, found 1"):
        network_figure(graph, bimt.wiring, labels={"input": ["a"]})
    with pytest.raises(InputError, match="Res9"):
        network_figure(graph, bimt.wiring, highlight=[("Res9", 0)])


def records(n: int = 50) -> list[dict]:
    lams = [0.001, 0.01, 0.1, 0.3, 0.0]
    return [
        {"step": 10 * i, "loss": math.exp(-i / 9), "test_loss": math.exp(-i / 9) if i % 5 == 0 else None,
         "cost": 1 / (1 + i), "lam": lams[i * 5 // n], "lr": 1e-3, "active": 1000 - i}
        for i in range(n)
    ]  # fmt: skip


def test_curves():
    figure = curves_figure(records())
    loss, cost, active = figure.axes
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear"]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training loss", "test loss"]
    assert np.asarray(loss.lines[1].get_xdata()).tolist() == list(range(0, 500, 50))
    assert np.asarray(active.lines[0].get_ydata())[-1] == 951
    assert {"λ = 0.001", "0.01", "0.1", "0.3", "0"} <= set(texts(figure))
    assert sum(patch.get_gid() == "phase" for patch in cost.patches) == 2
    assert png(figure)


def test_curves_draw_the_schedules_that_vary_under_the_losses():
    changed = [
        {**record, "lam": 0.1 * math.sin(i / 16), "lr": 0.04 * 0.9**i} for i, record in enumerate(records())
    ]  # fmt: skip
    figure = curves_figure(changed, widths=[min(8.0, i / 4) for i in range(50)])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["loss", "learning rate", "λ", "width A", "connection cost", "active weights"]
    _, rate, lam, width, _, _ = figure.axes
    assert rate.get_yscale() == lam.get_yscale() == "log" and width.get_yscale() == "linear"
    assert np.asarray(width.lines[0].get_ydata()).max() == 8 and not texts(figure).count("λ = 0")
    assert png(figure)


def test_curves_of_constant_schedules_have_no_panels_of_them():
    assert len(curves_figure(records(), widths=[2.0] * 50).axes) == 3
    stepwise = curves_figure([{**record, "lr": 1e-3 if i < 25 else 1e-4} for i, record in enumerate(records())])
    assert [axes.get_ylabel() for axes in stepwise.axes][1] == "learning rate" and len(stepwise.axes) == 4
    with pytest.raises(InputError, match="one for each of the 50 records, found 3"):
        curves_figure(records(), widths=[1.0] * 3)


def test_curves_with_gaps():
    gaps = records()
    gaps[7]["loss"] = float("nan")
    gaps[9]["loss"] = float("inf")
    del gaps[11]["loss"]
    figure = curves_figure(gaps)
    values = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert len(values) == 49 and np.flatnonzero(np.isnan(values)).tolist() == [7, 9]
    assert np.asarray(figure.axes[0].lines[1].get_xdata()).tolist() == [80]
    assert png(figure)


@pytest.mark.parametrize("keep", [("step",), ("step", "cost", "lam"), ("step", "loss", "active")])
def test_curves_with_panels_that_were_not_recorded(keep):
    figure = curves_figure([{key: record[key] for key in keep} for record in records()])
    shown = sum(key in keep for key in ("loss", "cost", "active"))
    assert texts(figure).count("not recorded") == 3 - shown
    assert png(figure)


def test_curves_of_one_record_and_of_zeros():
    assert png(curves_figure(records()[:1]))
    figure = curves_figure([{**record, "cost": 0.0, "lam": 0.0} for record in records()])
    assert figure.axes[1].get_yscale() == "linear"
    assert png(figure)


def test_curves_mistakes_are_named():
    with pytest.raises(InputError, match="found none"):
        curves_figure([])
    with pytest.raises(InputError, match="no step"):
        curves_figure([{"loss": 1.0}])


def test_prediction():
    true = torch.linspace(-1, 1, 40, requires_grad=True)
    predicted = true + 0.01
    figure = prediction_figure(true, predicted, name="w", r2=0.9987)
    scatter, histogram = figure.axes
    (points,) = scatter.collections
    assert np.allclose(points.get_offsets(), torch.stack([true, predicted], 1).detach().numpy())
    assert np.ptp(scatter.get_xlim()) == np.ptp(scatter.get_ylim())
    assert sum(patch.get_height() for patch in histogram.patches) == 40
    assert (scatter.get_xlabel(), scatter.get_ylabel()) == ("true w", "predicted w")
    assert "0.9987" in scatter.get_title(loc="left")
    assert png(figure)
    assert png(prediction_figure([1.0], [1.0]))


def test_pair():
    first, second = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    target = (first * second).numpy()
    figure = pair_figure(first, second, target, names=("residual 3", "residual 17"), target_name="w", told="R2 0.9998")
    axes, bar = figure.axes
    (points,) = axes.collections
    assert np.allclose(points.get_array(), target)
    assert np.allclose(points.get_offsets(), torch.stack([first, second], 1))
    assert axes.get_title(loc="left") == "w from two neurons" and axes.texts[0].get_text() == "R2 0.9998"
    assert bar.get_ylabel() == "w"
    assert axes.get_xlabel().endswith("residual 3") and axes.get_ylabel().endswith("residual 17")
    assert png(figure)
    assert png(pair_figure([1.0], [1.0], [2.0]))


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")]])
def test_numbers_must_be_finite_and_equally_many(bad):
    with pytest.raises(InputError, match="finite numbers"):
        prediction_figure([1.0, 2.0], bad)
    with pytest.raises(InputError, match="equally many"):
        prediction_figure([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="finite numbers"):
        pair_figure([1.0, 2.0], bad, [1.0, 2.0])
    with pytest.raises(InputError, match="2, 2, 1"):
        pair_figure([1.0, 2.0], [1.0, 2.0], [1.0])


def test_every_label_of_a_ring_is_drawn():
    bimt = BIMT(MLP([3, 4, 10]), Geometry(shapes={"output": "ring"}))
    words = [f"class {i}" for i in range(10)]
    figure = network_figure(connection_graph(bimt, "unrolled"), bimt.wiring, labels={"output": words})
    figure.savefig(io.BytesIO())
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    inside = [figure.axes[0].get_ylim()[0] <= texts[word].xy[1] <= figure.axes[0].get_ylim()[1] for word in words]
    assert not all(inside) and all(texts[word].get_annotation_clip() is False for word in words)


def test_confusion_counts_true_against_predicted():
    figure = confusion_figure([0, 1, 1, 2], [0, 1, 2, 2], ["a", "b", "c"])
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert [text.get_text() for text in axes.texts] == ["1", "0", "0", "0", "1", "1", "0", "0", "1"]
    assert "accuracy 75.00%, 4 samples" in axes.get_title(loc="left")
    many = confusion_figure(range(59), range(59), [str(i) for i in range(59)]).axes[0]
    assert [label.get_text() for label in many.get_xticklabels()][:3] == ["0", "2", "4"] and not many.texts


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([0, 1], [0], "equally many"),
        ([], [], "none"),
        ([0, 3], [0, 1], "true must hold class numbers from 0 to 2, found 3"),
        ([0, 1], [0, 1.5], "predicted must hold class numbers from 0 to 2, found 1.5"),
    ],
)
def test_bad_classes(true, predicted, expected):
    with pytest.raises(InputError, match=expected):
        confusion_figure(true, predicted, ["a", "b", "c"])


def test_networks_stand_side_by_side():
    bimts = [sparse(MLP([4, 8, 2], seed=seed), 0.5) for seed in range(3)]
    panels = [Panel(f"m{i}", "note", connection_graph(b, "unrolled"), b.wiring) for i, b in enumerate(bimts)]
    figure = comparison_figure(panels, labels={"output": ["one", "two"]})
    png(figure)
    assert len(figure.axes) == 3 and {"m0", "m1", "m2"} <= {text.get_text() for text in figure.texts}
    for panel, axes in zip(panels, figure.axes, strict=True):
        (lines,) = [c for c in axes.collections if c.get_gid() == "connections"]
        assert len(lines.get_segments()) == panel.graph.number_of_edges()
        assert {"one", "two"} <= {text.get_text() for text in axes.texts}
    with pytest.raises(InputError, match="at least one"):
        comparison_figure([])


def test_frontiers():
    points = [PrunePoint(0.0, 30, 1e-3, False), PrunePoint(0.1, 10, 1e-2, False), PrunePoint(1.0, 0, 1.0, True)]
    figure = pruning_curves_figure({"l1": [points, points], "bimt": [points]}, title="a")
    png(figure)
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"l1", "bimt"}
    thick = [line for line in axes.lines if line.get_linewidth() > 1]
    assert [list(line.get_xdata()) for line in thick] == [[30, 10, 0]] * 2
    assert [line.is_dashed() for line in thick] == [False, True]  # the second would hide the first
    assert axes.get_xlim()[0] == 0
    (axes,) = pruning_curves_figure({"l1": [points[:2]], "bimt": [points[1:2] * 2]}).axes
    assert not any(line.is_dashed() for line in axes.lines) and 5 < axes.get_xlim()[0] < 10
    for bad in ({}, {"l1": []}, {"l1": [[]]}):
        with pytest.raises(InputError, match="at least one"):
            pruning_curves_figure(bad)


def test_every_method_has_a_colour_and_a_marker_of_its_own():
    for looks in (METHOD_COLOURS, METHOD_MARKERS):
        assert looks.keys() == METHODS.keys() and len(set(looks.values())) == len(METHODS)
