import json

import pytest
import torch
from transformer_lens import TransformerBridge, TransformerBridgeConfig

from bimt_tf.analysis.ablate import ablate, ablate_each, run_hooked
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer


def _transformer(n_heads=4):
    return RegressionTransformer(
        d_model=8, n_layers=2, n_heads=n_heads, d_head=3, d_mlp=10, seed=1, dtype=torch.float64
    )


def _inputs(n=6):
    return torch.randn(n, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _loss(outputs):
    return outputs.square().mean()


def _no_hooks(model):
    return all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())


def _by_hand(model, x, columns, value):
    """MLP of two layers, the hidden neurons in ``columns`` replaced."""
    hidden = model.layers[0](x)  # activated
    hidden[:, columns] = hidden[:, columns].mean(0) if value == "mean" else 0.0
    return hidden @ model.layers[1].weight.T + model.layers[1].bias


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_mlp_equals_the_forward_by_hand(value):
    model = MLP([3, 5, 2], seed=0, dtype=torch.float64)
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = ablate(model, {"layers.0.hook_post": [1, 4]}, x, _loss, value=value)
    with torch.no_grad():
        before, after = float(_loss(model(x))), float(_loss(_by_hand(model, x, [1, 4], value)))
    assert found.before == before
    assert found.after == pytest.approx(after, rel=1e-12)
    assert found.change == found.after - found.before
    assert found.change != 0


def test_head_neurons_are_head_major():
    """Zeroing z of (head 2, neuron 1) is zeroing row [2, 1] of W_O."""
    model, x = _transformer(), _inputs()
    found = ablate(model, {"blocks.0.attn.hook_z": [2 * 3 + 1]}, x, _loss, value="zero")
    twin = _transformer()
    with torch.no_grad():
        twin.blocks[0].attn.W_O[2, 1] = 0.0
        assert found.after == pytest.approx(float(_loss(twin(x))), rel=1e-12)


def test_mean_is_per_position():
    """A residual neuron that depends on the position only is not changed by its mean over the batch."""
    model, x = _transformer(), _inputs()
    x[:, :, 0] = torch.tensor([0.0, 1.0, -2.0])
    with torch.no_grad():
        model.embed.W_E.zero_()
        model.embed.W_E[0, 3] = 1.0
    assert ablate(model, {"hook_embed": [3]}, x, _loss).change == pytest.approx(0, abs=1e-15)
    assert ablate(model, {"hook_embed": [3]}, x, _loss, value="zero").change != 0


def test_several_hooks_take_their_means_from_the_clean_run():
    model, x = _transformer(), _inputs()
    every = list(range(8))
    both = ablate(model, {"hook_embed": every, "blocks.1.hook_resid_post": every}, x, _loss)
    last = ablate(model, {"blocks.1.hook_resid_post": every}, x, _loss)
    assert both.after == pytest.approx(last.after, rel=1e-12)


def test_each_neuron_in_turn():
    model, x = _transformer(), _inputs()
    results = ablate_each(model, "blocks.1.mlp.hook_post", x, _loss)
    assert [result.neuron for result in results] == list(range(10))
    for result in results:
        single = ablate(model, {"blocks.1.mlp.hook_post": [result.neuron]}, x, _loss)
        assert (result.before, result.after, result.change) == tuple(single)
    assert [r.neuron for r in ablate_each(model, "hook_embed", x, _loss, neurons=[5, 2], value="zero")] == [5, 2]


def test_nothing_is_left_behind():
    model, x = _transformer(), _inputs()
    model.train()
    model.blocks[0].eval()
    modes = [module.training for module in model.modules()]

    def fails(outputs):
        raise RuntimeError("no")

    def breaks(activation):
        raise RuntimeError("no")

    for run in (
        lambda: ablate(model, {"hook_embed": [0]}, x, fails),
        lambda: run_hooked(model, x, {"hook_embed": breaks}),
        lambda: ablate(model, {"hook_embed": [0]}, x[:, :, :1], _loss),
    ):
        with pytest.raises((RuntimeError, InputError)):
            run()
        assert _no_hooks(model)
        assert [module.training for module in model.modules()] == modes
    ablate(model, {"hook_embed": [0]}, x, _loss)
    assert _no_hooks(model)
    assert [module.training for module in model.modules()] == modes


def test_the_users_own_hooks_stay_and_run():
    model, x = _transformer(), _inputs()
    seen = []
    model.add_hook("hook_embed", lambda tensor, hook: seen.append(1))
    ablate(model, {"hook_embed": [0]}, x, _loss)
    assert len(seen) == 2
    assert len(model.hook_dict["hook_embed"].fwd_hooks) == 1


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"hook_embde": [0]}, "unknown hook 'hook_embde'; did you mean 'hook_embed'"),
        ({"hook_embed": [8]}, "has neurons 0 to 7, found 8"),
        ({"hook_embed": [-1]}, "has neurons 0 to 7, found -1"),
        ({"hook_embed": []}, "names no neuron"),
        ({}, "names no neuron"),
        ({"blocks.0.attn.hook_pattern": [0]}, "holds no neurons"),
    ],
)
def test_mistakes_are_one_line(hooks, message):
    model = _transformer()
    with pytest.raises(InputError, match=message) as caught:
        ablate(model, hooks, _inputs(), _loss)
    assert "\n" not in str(caught.value)
    assert _no_hooks(model)


def test_more_mistakes():
    model, x = _transformer(), _inputs()
    with pytest.raises(InputError, match="unknown value to write 'median'"):
        ablate(model, {"hook_embed": [0]}, x, _loss, value="median")
    with pytest.raises(InputError, match="metric must give a number"):
        ablate(model, {"hook_embed": [0]}, x, lambda outputs: outputs)
    with pytest.raises(InputError, match="NaN"):
        ablate(model, {"hook_embed": [0]}, x * torch.nan, _loss)
    with pytest.raises(InputError, match="HookedRootModule"):
        ablate(torch.nn.Linear(2, 2), {"hook_embed": [0]}, x, _loss)


def test_a_bridge():
    config = TransformerBridgeConfig(
        n_layers=1, d_model=8, n_heads=2, d_head=4, d_mlp=16, n_ctx=4, d_vocab=10, act_fn="gelu"
    )
    model = TransformerBridge.boot_native(config)
    tokens = torch.randint(10, (6, 3), generator=torch.Generator().manual_seed(0))
    found = ablate(model, {"blocks.0.attn.hook_z": [5]}, tokens, _loss, value="zero")

    def cut(tensor, hook):
        tensor = tensor.clone()
        tensor[:, :, 1, 1] = 0
        return tensor

    with torch.no_grad():
        wanted = float(_loss(model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", cut)])))
    assert found.after == pytest.approx(wanted, rel=1e-6)
    assert found.change != 0


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ([3, 3], "neuron 3 of hook 'hook_embed' is named 2 times"),
        ([1.5], "must be whole numbers"),
        ([float("nan")], "must be whole numbers"),
        ([True], "must be whole numbers"),
        (["3"], "must be whole numbers"),
        (3, "must be whole numbers"),
        ([10**30], "has neurons 0 to 7, found 1000000000000000000000000000000"),
    ],
)
def test_neurons_that_are_none(neurons, message):
    model = _transformer()
    for call in (
        lambda: ablate(model, {"hook_embed": neurons}, _inputs(), _loss),
        lambda: ablate_each(model, "hook_embed", _inputs(), _loss, neurons=neurons),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value) and _no_hooks(model)


def test_neurons_may_be_numbers_of_arrays_and_tensors():
    model, x = _transformer(), _inputs()
    wanted = ablate(model, {"hook_embed": [1, 2]}, x, _loss)
    assert ablate(model, {"hook_embed": torch.tensor([1, 2])}, x, _loss) == wanted
    assert [one.neuron for one in ablate_each(model, "hook_embed", x, _loss, neurons=torch.tensor([5, 2]))] == [5, 2]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_metric_that_is_undefined_is_said_with_the_neuron(number):
    model, x = _transformer(), _inputs()
    with pytest.raises(InputError, match=f"metric gives {number} without ablation"):
        ablate(model, {"hook_embed": [0]}, x, lambda outputs: number)
    numbers = iter([1.0, 1.0, number])
    with pytest.raises(InputError, match=f"metric gives {number} with neuron 1 of 'hook_embed' ablated"):
        ablate_each(model, "hook_embed", x, lambda outputs: next(numbers))
    assert _no_hooks(model)


def test_no_example_and_infinite_activations():
    model, x = _transformer(), _inputs()
    for call in (ablate_each, lambda model, hook, *rest: ablate(model, {hook: [0]}, *rest)):
        with pytest.raises(InputError, match="inputs holds no example"):
            call(model, "hook_embed", x[:0], _loss)
        with pytest.raises(InputError, match="NaN or infinite activations"):
            call(model, "hook_embed", x * torch.inf, _loss)
    with pytest.raises(InputError, match="hooks names no neuron"):
        ablate(model, [("hook_embed", [0])], x, _loss)
    assert _no_hooks(model)


def test_results_as_dicts_are_json():
    model, x = _transformer(), _inputs()
    whole = ablate(model, {"hook_embed": [0]}, x, _loss)
    (one,) = ablate_each(model, "hook_embed", x, _loss, neurons=[0])
    assert json.loads(json.dumps([whole.as_dict(), one.as_dict()])) == [
        {"before": whole.before, "after": whole.after, "change": whole.change},
        {"neuron": 0, "before": whole.before, "after": whole.after, "change": whole.change},
    ]


@pytest.mark.parametrize("where", ["model", "metric"])
def test_hooks_are_taken_off_after_an_exception(where):
    model, x = _transformer(), _inputs()

    def fail(*args):
        raise RuntimeError("stop")

    if where == "model":
        model.blocks[1].register_forward_hook(fail)
    model.train()
    with pytest.raises(RuntimeError, match="stop"):
        ablate(model, {"hook_embed": [0]}, x, fail if where == "metric" else _loss)
    assert _no_hooks(model) and all(module.training for module in model.modules())
