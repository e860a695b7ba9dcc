"""The block view: matrices in slot order, before and after, with heads' borders."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from drawn_networks import NETWORKS, collisions, sparse, texts, transformer

from bimt_tf.bimt import BIMT
from bimt_tf.core.layout import Layout
from bimt_tf.errors import InputError
from bimt_tf.figures.block_view import CELLS, connectivity_figure, matrices_of
from bimt_tf.models.mlp import MLP


@pytest.mark.parametrize("name", ["mlp", "4 heads, 3 blocks", "tokens", "dense"])
def test_matrices_stand_in_the_order_of_slots(name):
    bimt = NETWORKS[name]()
    found = matrices_of(bimt, bimt.layout)
    for connection in bimt.wiring.connections:
        weights = connection.flatten(bimt.parameters[connection.parameter].detach()).sum(0)
        matrix = found[connection.parameter]
        for u, v in ((0, 0), (1, 2), (3, 1)):
            if u in matrix.sources and v in matrix.targets:
                shown = matrix.values[matrix.sources.index(u), matrix.targets.index(v)] * matrix.largest
                assert shown == pytest.approx(float(weights[u, v]))
        for shown, stage in zip((matrix.sources, matrix.targets), connection.stages, strict=True):
            slots = bimt.layout.slots[stage.population][list(shown)].tolist()
            assert slots == sorted(slots)


def test_neurons_without_any_weight_are_left_out_and_no_weight_is():
    bimt = NETWORKS["eliminated"]()
    orders = [matrices_of(bimt, layout) for layout in (Layout.identity(bimt.wiring), bimt.layout)]
    touched: dict[str, set[int]] = {}
    for connection in bimt.wiring.connections:
        weights = connection.flatten(bimt.parameters[connection.parameter].detach()).sum(0)
        for axis, stage in ((1, connection.source), (0, connection.target)):
            found = weights.abs().sum(axis).nonzero().flatten().tolist()
            touched.setdefault(stage.population, set()).update(found)
        for found in orders:
            values = found[connection.parameter].values
            assert np.count_nonzero(values) == int((weights != 0).sum())
    for connection in bimt.wiring.connections:
        for found in orders:
            matrix = found[connection.parameter]
            for shown, stage in zip((matrix.sources, matrix.targets), connection.stages, strict=True):
                every = set(range(bimt.wiring.populations[stage.population].size))
                assert set(shown) == (touched[stage.population] or every)
    assert any(len(m.sources) < 16 for m in orders[0].values())  # of the residual stream, or of a head's neurons
    said = [text for text in texts(connectivity_figure(bimt)) if " of 24" in text]
    assert said  # the MLP's


def test_a_swap_gathers_a_head():
    """Weights of one head alone lie inside its borders, wherever the head stands."""
    bimt = transformer(4, 1, 1.0)
    with torch.no_grad():
        weight = bimt.parameters["blocks.0.attn.W_Q"]
        weight[torch.arange(4) != 2] = 0
    matrix = matrices_of(bimt, bimt.layout)["blocks.0.attn.W_Q"]
    inside = np.array(matrix.target_heads) == 2
    assert np.diff(np.flatnonzero(inside)).max() == 1 and inside.sum() == 4
    assert (matrix.values[:, ~inside] == 0).all() and (matrix.values[:, inside] != 0).any()
    assert matrix.source_heads == () and matrices_of(bimt, bimt.layout)["blocks.0.attn.W_O"].target_heads == ()


def test_the_strongest_weight_of_a_cell_is_kept():
    bimt = sparse(MLP([300, 200, 2]), 0.1)
    matrix = matrices_of(bimt, bimt.layout)["layers.0.weight"]
    assert matrix.values.shape == (CELLS, CELLS)
    assert np.abs(matrix.values).max() == 1.0
    weight = bimt.parameters["layers.0.weight"].detach()
    assert matrix.largest == pytest.approx(float(weight.abs().max()))
    strongest = np.unravel_index(np.abs(matrix.values).argmax(), matrix.values.shape)
    target, source = (int(i[0]) for i in torch.nonzero(weight.abs() == weight.abs().max(), as_tuple=True))
    places = matrix.sources.index(source), matrix.targets.index(target)
    expected = (places[0] * CELLS / len(matrix.sources), places[1] * CELLS / len(matrix.targets))
    assert np.allclose(strongest, expected, atol=1.5)


@pytest.mark.parametrize("name", ["mlp", "deep mlp", "1 head", "8 heads, 4 blocks", "tokens", "wide"])
def test_both_orders_are_drawn_and_no_words_collide(name):
    bimt = NETWORKS[name]()
    figure = connectivity_figure(bimt, threshold=0.01, title="a network · bimt · seed 0: connectivity")
    images = [image for axes in figure.axes for image in axes.images]
    assert len(images) == 2 * len(bimt.wiring.connections)
    if bimt.wiring.populations.get("blocks.0.qk") is not None and bimt.wiring.populations["blocks.0.qk"].heads > 1:
        borders = [line for axes in figure.axes for line in axes.lines if line.get_gid() == "head border"]
        heads, blocks = bimt.wiring.populations["blocks.0.qk"].heads, len(bimt.model.blocks)
        assert len(borders) == 2 * blocks * 4 * (heads - 1)
    assert collisions(figure) == []
    figure.savefig(io.BytesIO(), format="pdf")
    assert any("above 0.01" in text for text in texts(figure))


def test_before_is_by_number_unless_said():
    bimt = BIMT(MLP([3, 4, 2], seed=0))
    before = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    started = [image for axes in connectivity_figure(bimt).axes for image in axes.images]
    other = [image for axes in connectivity_figure(bimt, before=before).axes for image in axes.images]
    assert (started[0].get_array() == started[2].get_array()).all()  # nothing has moved
    assert not (other[0].get_array() == other[2].get_array()).all()


def test_mistakes_are_named():
    bimt = BIMT(MLP([3, 4, 2]))
    with pytest.raises(InputError, match="slots"):
        connectivity_figure(bimt, before=Layout.identity(BIMT(MLP([3, 5, 2])).wiring))
    with pytest.raises(InputError, match="threshold"):
        connectivity_figure(bimt, threshold=-1.0)
    with torch.no_grad():
        bimt.parameters["layers.0.weight"][0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        connectivity_figure(bimt)
