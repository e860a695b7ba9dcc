"""Active weights against the live edges of the unrolled graph, and against what the model's output depends on."""

from __future__ import annotations

import pytest
import torch

from bimt_tf.adapters.families import wire
from bimt_tf.analysis.active import above_threshold, active_masks, active_weights, values_of
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import flow, live
from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer

THRESHOLD = 0.05


def sparse(model, keep, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.rand(p.shape, generator=generator) < keep)
    return BIMT(model, Geometry(layer_gap=0.0 if seed == 0 else 0.5))  # rows are told by depth, not by height


def transformer(heads, seed, **options):
    return RegressionTransformer(d_model=12, n_layers=2, n_heads=heads, d_mlp=10, seed=seed, **options)


MODELS = {
    "mlp": (lambda seed: MLP([3, 8, 7, 2], seed=seed), 0.4),
    "one head": (lambda seed: transformer(1, seed), 0.12),
    "four heads": (lambda seed: transformer(4, seed), 0.12),
    "tokens": (lambda seed: TokenMLP(5, 6, 2, [8, 7, 5], seed=seed), 0.15),
}


def by_live_edges(bimt, threshold):
    """Masks from the unrolled graph: an entry above the threshold is active if both its neurons are live."""
    nodes = live(connection_graph(bimt, residual="unrolled", threshold=threshold))
    masks = {}
    for c in bimt.wiring.connections:
        weight = bimt.parameters[c.parameter].detach()
        ends = [
            torch.tensor([(stage.name, n) in nodes for n in range(bimt.wiring.populations[stage.population].size)])
            for stage in c.stages
        ]
        masks[c.parameter] = (weight.abs() > threshold) & c.unflatten((ends[0][:, None] & ends[1])[None])
    return masks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", MODELS)
def test_active_weights_are_the_live_edges_of_the_unrolled_graph(kind, seed):
    make, keep = MODELS[kind]
    bimt = sparse(make(seed), keep, seed)
    masks, wanted = active_masks(bimt, THRESHOLD), by_live_edges(bimt, THRESHOLD)
    assert masks.keys() == wanted.keys()
    for name, mask in masks.items():
        assert mask.dtype == torch.bool and mask.shape == bimt.parameters[name].shape
        assert torch.equal(mask, wanted[name]), name
    count = sum(int(mask.sum()) for mask in wanted.values())
    assert active_weights(bimt, THRESHOLD) == count
    assert 0 < count < above_threshold(bimt, THRESHOLD)  # some are on a path, some are not


def test_above_threshold_counts_every_connection_and_no_bias():
    bimt = BIMT(MLP([2, 3, 1]))
    with torch.no_grad():
        for parameter in bimt.model.parameters():
            parameter.fill_(-1.0)
    assert above_threshold(bimt, 0.5) == active_weights(bimt, 0.5) == 2 * 3 + 3
    assert above_threshold(bimt, 1.0) == active_weights(bimt, 1.0) == 0  # above means above


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_without_biases_only_active_weights_matter(heads, seed):
    """Without biases, the outputs stay as they are when every weight that is not active is set to 0."""
    bimt = sparse(transformer(heads, seed, dtype=torch.float64), 0.15, seed)
    model, masks = bimt.model, active_masks(bimt, 0.0)
    inputs = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in masks:
                parameter.zero_()
        before = model(inputs)
        for name, mask in masks.items():
            bimt.parameters[name].mul_(mask)
    torch.testing.assert_close(model(inputs), before)


def test_queries_and_keys_count_where_their_head_reads_something():
    model = transformer(2, 0, dtype=torch.float64)
    bimt = BIMT(model)
    with torch.no_grad():
        model.blocks[0].attn.W_V[1] = 0.0  # the second head reads nothing
    masks = active_masks(bimt, 0.0)
    for name in ("blocks.0.attn.W_Q", "blocks.0.attn.W_K", "blocks.0.attn.W_O"):
        assert masks[name][0].all() and not masks[name][1].any(), name
    graph = connection_graph(bimt, residual="unrolled")
    assert {stage for stage, _ in live(graph)} >= {"blocks.0.q", "blocks.0.k", "blocks.0.v"}
    assert any(u == ("blocks.0.q", 0) and v[0] == "blocks.0.v" for u, v in flow(graph).edges())


def test_the_residual_stream_carries_a_neuron_past_what_it_skips():
    model = transformer(1, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "blocks" in name:
                parameter.zero_()
    bimt = BIMT(model)
    assert active_weights(bimt, 0.0) == above_threshold(bimt, 0.0) == sum(model.get_parameter(n).numel() for n in (
        "embed.W_E", "unembed.W_U"))  # fmt: skip


def test_mistakes_are_named():
    bimt = BIMT(MLP([2, 2]))
    for count in (active_weights, above_threshold, active_masks):
        with pytest.raises(InputError, match="threshold must be at least 0"):
            count(bimt, -1.0)
        with pytest.raises(InputError, match="threshold must be finite"):
            count(bimt, float("nan"))
    model = MLP([2, 2])
    table = {"layers.0.weight": "output input", "layers.0.bias": "output"}
    side_by_side = BIMT(model, wiring=Wiring.from_table(table, model, rows=[["input", "output"]]))
    with pytest.raises(InputError, match="joins two stages of one row"):
        active_weights(side_by_side, 0.0)
    with pytest.raises(InputError, match="joins two stages of one row"):
        live(connection_graph(side_by_side, residual="unrolled"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_threshold_is_compared_exactly(dtype):
    model = MLP([1, 1]).to(dtype)
    for threshold in (0.1, 0.01, 0.3):
        weight = torch.tensor(threshold, dtype=dtype)
        with torch.no_grad():
            model.layers[0].weight.fill_(weight)
        exceeds = float(weight) > threshold  # 0.1 in float32 is above 0.1
        assert above_threshold(BIMT(model), threshold) == active_weights(BIMT(model), threshold) == exceeds
        assert connection_graph(BIMT(model), threshold=threshold).number_of_edges() == exceeds


def test_the_same_whatever_the_dtype():
    counts = set()
    for dtype in (torch.float32, torch.float64):
        bimt = sparse(transformer(4, 1).to(dtype), 0.12, 1)
        counts.add(active_weights(bimt, THRESHOLD))
    assert len(counts) == 1


def test_queries_and_keys_choose_the_values_of_their_block():
    wiring = wire(transformer(4, 0))
    assert {name: [stage.name for stage in stages] for name, stages in values_of(wiring).items()} == {
        f"blocks.{i}.{x}": [f"blocks.{i}.v"] for i in (0, 1) for x in "qk"
    }
