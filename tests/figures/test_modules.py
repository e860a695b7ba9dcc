"""The figure of modules: every neuron with weights in its module's colour, and a matrix of what they do."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from planted_modules import two_blocks

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.module_effects import module_effects
from bimt_tf.analysis.modules import find_modules
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.figures.modules import MODULE_COLOURS, modules_figure
from bimt_tf.models.transformer import RegressionTransformer


def drawn(bimt, inputs, residual="shared", **options):
    graph = connection_graph(bimt, residual)
    found = find_modules(graph, **options)
    targets = {"mean": lambda out: float(out.mean())}
    effects = module_effects(bimt.model, bimt.wiring, graph, found, inputs, targets, controls=1)
    labels = {"output": ["y1", "y2"]}
    figure = modules_figure(connection_graph(bimt, "unrolled"), bimt.wiring, found, effects, labels=labels)
    figure.canvas.draw()
    return figure, found


def test_two_blocks():
    figure, _ = drawn(two_blocks(), torch.randn(20, 4))
    network, matrix = figure.axes
    points = {each.get_gid(): len(each.get_offsets()) for each in network.collections}
    assert points["module 1"] == points["module 2"] == 6 and points["alone"] == 0
    (lines,) = [each for each in network.collections if each.get_gid() == "connections"]
    assert len(lines.get_segments()) == 19
    assert {text.get_text() for text in network.texts} >= {"input", "hidden0", "output", "y1", "y2"}
    assert [tick.get_text() for tick in matrix.get_yticklabels()] == ["without 1", "without 2", "no neurons", "whole"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "1: reads input 0, 1 · hidden0 · writes output 0, 6 neurons",
        "2: reads input 2, 3 · hidden0 · writes output 1, 6 neurons",
    ]


@pytest.mark.parametrize("residual", ["shared", "unrolled"])
def test_a_transformer_with_more_modules_than_colours(residual):
    bimt = BIMT(RegressionTransformer(d_model=8, n_layers=2, n_heads=2, d_mlp=16, seed=0))
    with torch.no_grad():  # so that there are many
        for name, parameter in bimt.model.named_parameters():
            if "W_" in name:
                parameter[parameter.abs() < parameter.abs().quantile(0.9)] = 0.0
    figure, found = drawn(bimt, torch.randn(20, 3, 2), residual, resolution=3.0)
    assert len(found.modules) > len(MODULE_COLOURS)
    looks = {
        (tuple(each.get_facecolor()[0]), each.get_paths()[0].vertices.tobytes())
        for each in figure.axes[0].collections
        if (each.get_gid() or "").startswith("module")
    }
    shown = [each for each in figure.axes[0].collections if (each.get_gid() or "").startswith("module")]
    assert len(looks) == len(shown)


def test_a_shared_graph_is_refused():
    bimt = two_blocks()
    graph = connection_graph(bimt)
    found = find_modules(graph)
    effects = module_effects(bimt.model, bimt.wiring, graph, found, torch.ones(2, 4), {"sum": lambda o: float(o.sum())})
    for wrong in (graph, nx.Graph()):
        with pytest.raises(InputError, match="unrolled"):
            modules_figure(wrong, bimt.wiring, found, effects)
