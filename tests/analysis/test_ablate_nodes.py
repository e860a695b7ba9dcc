"""Knocking out nodes of the graph, heads and single weights; positions and resampling."""

import pytest
import torch

from bimt_tf import MLP, RegressionTransformer, TokenMLP, wire
from bimt_tf.analysis.ablate import ablate, ablate_each
from bimt_tf.analysis.ablate_nodes import ablate_nodes, places_of
from bimt_tf.analysis.ablate_random import ablate_random
from bimt_tf.errors import InputError


@pytest.fixture
def model():
    return RegressionTransformer(d_model=8, n_layers=2, n_heads=4, d_head=3, d_mlp=10, seed=1, dtype=torch.float64)


@pytest.fixture
def x():
    return torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def loss(outputs):
    return outputs.square().mean()


def no_hooks(model):
    return all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())


def test_nodes_are_ablated_where_their_hooks_see_them(model, x):
    wiring = wire(model)
    nodes = [("blocks.0.mlp", 3), ("Res3", 2), ("blocks.1.v", 7), ("blocks.0.q", 1)]
    hooks = {
        "blocks.0.mlp.hook_post": [3], "blocks.1.hook_resid_mid": [2], "blocks.1.attn.hook_z": [7],
        "blocks.0.attn.hook_q": [1],
    }  # fmt: skip
    assert ablate_nodes(model, wiring, nodes, x, loss) == ablate(model, hooks, x, loss)
    assert ablate_nodes(model, wiring, nodes, x, loss).change != 0


def test_a_population_is_all_its_stages(model, x):
    wiring = wire(model)
    stages = [(f"Res{i}", 5) for i in range(5)]
    for value in ("zero", "mean", "resample"):
        whole = ablate_nodes(model, wiring, [("residual", 5)], x, loss, value=value)
        assert whole == ablate_nodes(model, wiring, stages, x, loss, value=value)
    assert set(places_of(model, wiring, [("blocks.0.qk", 2)])) == {"blocks.0.attn.hook_q", "blocks.0.attn.hook_k"}


def test_the_ends_of_a_transformer_are_ablated_too(model, x):
    wiring = wire(model)
    cut = x.clone()
    cut[:, 1, 0] = 0
    with torch.no_grad():
        wanted, output = float(loss(model(cut))), model(x)
        output[..., 1] = output[..., 1].mean(0)
    found = ablate_nodes(model, wiring, [("input", 0)], x, loss, value="zero", position=1)
    assert found.after == pytest.approx(wanted, rel=1e-12)
    assert ablate_nodes(model, wiring, [("output", 1)], x, loss).after == pytest.approx(float(loss(output)), rel=1e-12)


def test_the_ends_of_an_mlp_have_hooks():
    model = MLP([3, 4, 2], dtype=torch.float64)
    x = torch.rand(5, 3, dtype=torch.float64)
    found = ablate_nodes(model, wire(model), [("input", 1), ("hidden0", 2), ("output", 0)], x, loss)
    hooks = {"hook_input": [1], "layers.0.hook_post": [2], "layers.1.hook_post": [0]}
    assert found == ablate(model, hooks, x, loss)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "nodes holds no node"),
        ([("Res9", 0)], "unknown stage or population 'Res9'; did you mean"),
        ([("Res1", 8)], "'Res1' has neurons 0 to 7, found 8"),
        ([("Res1",)], "a node is a stage and a neuron"),
    ],
)
def test_nodes_that_are_none(model, x, nodes, message):
    with pytest.raises(InputError, match=message):
        ablate_nodes(model, wire(model), nodes, x, loss)
    assert no_hooks(model)


def test_tokens_are_no_neurons():
    model = TokenMLP(7, 4, 2, [6, 3])
    tokens = torch.randint(7, (5, 2))
    assert ablate_nodes(model, wire(model), [("embed", 1)], tokens, loss, position=0).change != 0


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_one_position_alone(model, x, value):
    def cut(tensor, hook):
        tensor = tensor.clone()
        tensor[:, 1, 4] = tensor[:, 1, 4].mean() if value == "mean" else 0.0
        return tensor

    with torch.no_grad():
        wanted = float(loss(model.run_with_hooks(x, fwd_hooks=[("blocks.0.hook_resid_post", cut)])))
    for position in (1, -2, [1]):
        found = ablate(model, {"blocks.0.hook_resid_post": [4]}, x, loss, value=value, position=position)
        assert found.after == pytest.approx(wanted, rel=1e-12)
    every = ablate(model, {"blocks.0.hook_resid_post": [4]}, x, loss, value=value, position=[0, 1, 2])
    assert every == ablate(model, {"blocks.0.hook_resid_post": [4]}, x, loss, value=value)


def test_resampling_takes_whole_other_examples(model, x):
    """All residual neurons resampled at the end: each output is another example's, none its own."""
    outputs = []
    every = {"blocks.1.hook_resid_post": list(range(8))}
    ablate(model, every, x, lambda out: outputs.append(out) or 0.0, value="resample", seed=3)
    clean, changed = outputs
    same = torch.stack([(clean[i] == changed).all(-1).all(-1) for i in range(6)])
    assert same.sum(0).tolist() == same.sum(1).tolist() == [1] * 6 and not same.diagonal().any()
    first = ablate(model, {"hook_embed": [0]}, x, loss, value="resample", seed=3)
    assert first == ablate(model, {"hook_embed": [0]}, x, loss, value="resample", seed=3)
    assert first != ablate(model, {"hook_embed": [0]}, x, loss, value="resample", seed=4)
    with pytest.raises(InputError, match="at least two are needed"):
        ablate(model, {"hook_embed": [0]}, x[:1], loss, value="resample")


def test_heads_are_their_neurons(model, x):
    hook = "blocks.0.attn.hook_z"
    found = ablate(model, {}, x, loss, heads={hook: [2]}, value="zero")
    assert found == ablate(model, {hook: [6, 7, 8]}, x, loss, value="zero")
    each = ablate_each(model, hook, x, loss, whole_heads=True, value="zero")
    assert [one.neuron for one in each] == [0, 1, 2, 3] and each[2].after == found.after
    with pytest.raises(InputError, match="has heads 0 to 3, found 4"):
        ablate(model, {}, x, loss, heads={hook: [4]})
    with pytest.raises(InputError, match="has no heads"):
        ablate(model, {}, x, loss, heads={"hook_embed": [0]})


def test_weights_are_zero_for_a_while(model, x):
    name, place = "blocks.0.mlp.W_in", (3, 5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = ablate(model, {}, x, loss, weights=[(name, place)])
    twin = RegressionTransformer(d_model=8, n_layers=2, n_heads=4, d_head=3, d_mlp=10, seed=1, dtype=torch.float64)
    with torch.no_grad():
        twin.blocks[0].mlp.W_in[place] = 0
        assert found.after == float(loss(twin(x)))

    numbers = iter([1.0])
    with pytest.raises(StopIteration):
        ablate(model, {}, x, lambda out: next(numbers), weights=[(name, place), ("embed.W_E", (0, 0))])
    model.blocks[1].register_forward_hook(lambda *rest: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ablate(model, {}, x, loss, weights=[(name, place)])
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert no_hooks(model)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([("blocks.0.mlp.W_on", (3, 5))], "unknown parameter 'blocks.0.mlp.W_on'; did you mean"),
        ([("blocks.0.mlp.W_in", (8, 5))], r"has places \[0, 0\] to \[7, 9\], found \[8, 5\]"),
        ([("blocks.0.mlp.W_in", (-1, 5))], "found"),
        ([("blocks.0.mlp.W_in", (3,))], "found"),
        (["blocks.0.mlp.W_in"], "a weight is a parameter and a place"),
        ([("blocks.0.mlp.W_in", (3, 5))] * 2, "is named twice"),
    ],
)
def test_weights_that_are_none(model, x, weights, message):
    with pytest.raises(InputError, match=message):
        ablate(model, {}, x, loss, weights=weights)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (3, "has positions 0 to 2 .* found 3"),
        ([0, 0], "named 2 times"),
        ([-2, 1], "positions 1 and -2 of hook 'hook_embed' are the same token"),
        ([], "names no position"),
        (1.5, "whole"),
    ],
)
def test_positions_that_are_none(model, x, position, message):
    with pytest.raises(InputError, match=message):
        ablate(model, {"hook_embed": [0]}, x, loss, position=position)
    with pytest.raises(InputError, match="has no positions"):
        ablate(MLP([2, 3, 1]), {"hook_input": [0]}, torch.rand(4, 2), loss, position=0)


def test_random_sets_beside_named_neurons():
    """Neuron 0 alone is read: each other neuron costs nothing, and is drawn; a constant one is not."""
    model = MLP([2, 5, 1], act_fn="identity", dtype=torch.float64)
    with torch.no_grad():
        model.layers[1].weight[:] = torch.tensor([[1.0, 0, 0, 0, 0]])
        model.layers[0].weight[4] = 0
    x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = ablate_random(model, "layers.0.hook_post", [0], x, loss)
    assert found == (3, 4, 4, 0, 0, 0, 0)
    found = ablate_random(model, "layers.0.hook_post", [1, 2], x, loss, value="zero")
    whole = ablate(model, {"layers.0.hook_post": [0]}, x, loss, value="zero").change
    assert (found.sets, found.possible) == (5, 6) and found.mean == pytest.approx(3 / 5 * whole)
    some = ablate_random(model, "layers.0.hook_post", [1, 2], x, loss, sets=3, seed=1)
    assert some.sets == 3 and some == ablate_random(model, "layers.0.hook_post", [1, 2], x, loss, sets=3, seed=1)
    assert ablate_random(model, "layers.0.hook_post", [0, 1, 2, 3], x, loss) is None
    with pytest.raises(InputError, match="has neurons 0 to 4, found 5"):
        ablate_random(model, "layers.0.hook_post", [5], x, loss)
