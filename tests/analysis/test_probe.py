import json

import numpy as np
import pytest
import torch
from transformer_lens import TransformerBridge, TransformerBridgeConfig

from bimt_tf.analysis.pair_screen import screen_pairs
from bimt_tf.analysis.probe import probe
from bimt_tf.analysis.probe_split import divide
from bimt_tf.analysis.probe_values import checked_target
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer

RESIDUAL = "blocks.0.hook_resid_post"


def _planted(d_in=4, d_model=6, n_heads=1, d_head=None):
    """A transformer whose residual stream holds what the test writes into W_E, and nothing else."""
    model = RegressionTransformer(
        d_in=d_in, d_model=d_model, n_layers=1, n_heads=n_heads, d_head=d_head, d_mlp=4, dtype=torch.float64
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


def _write(model, entries):
    with torch.no_grad():
        for (feature, neuron), value in entries.items():
            model.embed.W_E[feature, neuron] = value


def _inputs(n=1000, d_in=4, token=1, seed=0):
    """Numbers in [1, 3] at one token, zeros elsewhere."""
    inputs = torch.zeros(n, 3, d_in, dtype=torch.float64)
    inputs[:, token] = 1 + 2 * torch.rand(n, d_in, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return inputs


def _no_hooks(model):
    return all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())


def test_finds_a_ratio_in_a_pair_and_only_there():
    model, inputs = _planted(), _inputs(4000)
    _write(model, {(0, 2): 1.0, (1, 5): -3.0, (2, 0): 1.0, (3, 3): 0.5})
    ratio = inputs[:, 1, 0] / inputs[:, 1, 1]
    result = probe(model, RESIDUAL, ratio, 1, inputs=inputs)
    assert result.varying == result.paired == [0, 2, 3, 5]
    assert not result.screened
    best = result.best_pair
    assert (best.first, best.second) == (2, 5)
    assert best.nonlinear.value > 0.9999
    assert best.linear.value < 0.95
    assert result.tied_pairs == [best]
    assert result.pairs[1].nonlinear.value < 0.8
    assert result.best_neuron.neuron in (2, 5)
    assert result.best_neuron.nonlinear.value < 0.8
    assert result.population.nonlinear.value > 0.999
    assert (result.made.n_train, result.made.n_test, result.made.folds) == (3200, 800, 1)
    for score in (*result.control.pair, *result.control.neuron, *result.control.population):
        assert -0.05 < score < 0.03


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a * b,
        lambda a, b: torch.sin(3 * a) * b,
        lambda a, b: torch.sqrt(a + b),
        lambda a, b: (a - b).abs(),
        lambda a, b: torch.tanh(5 * (a - b)),
    ],
    ids=["product", "sine", "root", "kink", "step"],
)
def test_smooth_functions_of_two_neurons(function):
    """The neurons mix the two numbers, with a correlation of 0.9."""
    model, inputs = _planted(), _inputs(4000)
    _write(model, {(0, 1): 1.0, (1, 1): 0.6, (0, 4): 0.6, (1, 4): 1.0})
    pair = probe(model, RESIDUAL, function(inputs[:, 1, 0], inputs[:, 1, 1]), 1, inputs=inputs).best_pair
    assert pair.nonlinear.value > 0.995
    assert pair.nonlinear.value > pair.linear.value - 1e-4


def test_a_linear_function_is_linear_for_neuron_pair_and_population():
    model, inputs = _planted(), _inputs()
    _write(model, {(0, 1): 1.0, (1, 4): 2.0})
    result = probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs)
    neurons = {neuron.neuron: neuron for neuron in result.neurons}
    assert neurons[1].linear.value > 1 - 1e-9 and neurons[1].nonlinear.value > 1 - 1e-6
    assert neurons[4].linear.value < 0.02
    assert result.best_neuron == neurons[1]
    assert result.population.linear.value > 1 - 1e-9 and result.best_pair.linear.value > 1 - 1e-9


def test_scores_are_of_held_out_examples():
    """24 random neurons against a random target: the training part would be fitted, the held-out part cannot be."""
    model, inputs = _planted(d_in=24, d_model=24), _inputs(60, d_in=24)
    _write(model, {(i, i): 1.0 for i in range(24)})
    target = torch.randn(60, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    result = probe(model, RESIDUAL, target, 1, inputs=inputs, max_pairs_neurons=3)
    x = np.c_[inputs[:, 1].numpy(), np.ones(60)]
    fitted = x @ np.linalg.lstsq(x, target.numpy(), rcond=None)[0]
    assert 1 - np.var(target.numpy() - fitted) / np.var(target.numpy()) > 0.3
    assert result.population.linear.value < 0.1
    assert result.population.nonlinear.value < 0.1


def test_position_and_negative_position():
    model, inputs = _planted(), _inputs(token=1)
    inputs[:, 0, 3] = torch.rand(1000, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    _write(model, {(0, 1): 1.0, (3, 3): 1.0})
    target = inputs[:, 1, 0]
    held, unheld, dead = (probe(model, RESIDUAL, target, p, inputs=inputs) for p in (1, 0, 2))
    assert held.varying == [1, 3] and held.best_neuron.linear.value > 0.999
    assert unheld.varying == [3] and unheld.best_neuron.nonlinear.value < 0.02
    assert dead.varying == [] and dead.population.linear.value is None and "nothing" in dead.population.linear.reason
    assert probe(model, RESIDUAL, target, -2, inputs=inputs) == held


def test_no_and_one_varying_neuron():
    model, inputs = _planted(), _inputs()
    target = inputs[:, 1, 0]
    result = probe(model, RESIDUAL, target, 1, inputs=inputs)
    assert result.varying == result.neurons == result.pairs == []
    assert result.best_pair is None and result.best_neuron is None and result.control.pair == (None, None)
    assert result.tied_pairs == result.tied_neurons == []
    for score in (result.population.linear, result.inputs.read_out.nonlinear):
        assert score.value is None and "what reaches this place: nothing" in score.reason
    _write(model, {(0, 4): 1.0})
    result = probe(model, RESIDUAL, target, 1, inputs=inputs)
    assert result.varying == [4] and result.pairs == [] and result.control.pair == (None, None)
    assert result.population.linear.value > 0.999 and result.population.nonlinear.value > 0.999


def test_neurons_of_heads_are_head_major():
    """v of (head 2, neuron 1) alone reads the number: neuron 2 * 3 + 1 of hook_v, and of hook_z at its token."""
    model, inputs = _planted(n_heads=4, d_head=3), _inputs(token=0)
    _write(model, {(0, 5): 1.0})
    with torch.no_grad():
        model.blocks[0].attn.W_V[2, 5, 1] = 2.0
    for hook in ("blocks.0.attn.hook_v", "blocks.0.attn.hook_z"):
        result = probe(model, hook, inputs[:, 0, 0], 0, inputs=inputs)
        assert result.varying == [7]
        assert result.best_neuron.linear.value > 0.999


def test_mlp_without_positions():
    model = MLP([2, 12, 1], seed=0)
    inputs = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 2 + 1
    result = probe(model, "layers.0.hook_post", inputs[:, 0] * inputs[:, 1], inputs=inputs)
    assert result.position is None
    assert result.population.nonlinear.value > 0.999
    assert len(result.pairs) == 66


def test_screening_finds_a_product_that_no_neuron_shows_alone():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1000, 40))
    chosen = screen_pairs(x, x[:, 11] * x[:, 33], list(range(40)), 6)
    assert {11, 33} <= set(chosen) and len(chosen) == 6


def test_screening_ranks_by_the_quadratic_fit():
    """Against scikit-learn, pair by pair; numbers keep their own indices."""
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import PolynomialFeatures

    x = np.random.default_rng(1).gamma(2.0, size=(300, 8))
    y = x[:, 3] / (1 + x[:, 6]) + 0.1 * x[:, 1]
    active = [0, 1, 3, 4, 6, 7]
    scores = {}
    for i in active:
        for j in active:
            if i < j:
                features = PolynomialFeatures(2).fit_transform(x[:, [i, j]])
                scores[i, j] = LinearRegression().fit(features, y).score(features, y)
    wanted: list[int] = []
    for pair in sorted(scores, key=lambda pair: -scores[pair]):
        wanted += [i for i in pair if i not in wanted]
    assert screen_pairs(x, y, active, 2) == sorted(wanted[:2])
    assert screen_pairs(x, y, active, 4) == sorted(wanted[:4])


def test_screening_is_reported():
    model, inputs = _planted(d_in=8, d_model=8), _inputs(400, d_in=8)
    _write(model, {(i, i): 1.0 for i in range(8)})
    result = probe(model, RESIDUAL, inputs[:, 1, 2] / inputs[:, 1, 6], 1, inputs=inputs, max_pairs_neurons=3)
    assert result.screened and len(result.paired) == 3 and len(result.pairs) == 3
    assert len(result.varying) == len(result.neurons) == 8
    assert (result.best_pair.first, result.best_pair.second) == (2, 6)


def test_rounding_does_not_make_a_neuron_vary():
    model, inputs = _planted().float(), _inputs().float()
    _write(model, {(0, 1): 1.0, (1, 2): 1e-7})
    with torch.no_grad():
        model.embed.b_E[2] = 5.0
    assert probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs).varying == [1]
    assert probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs, varying_threshold=0.0).varying == [1]


def test_the_same_seed_gives_the_same_result_and_leaves_the_global_generators_alone():
    model, inputs = _planted(), _inputs(300)
    _write(model, {(0, 1): 1.0, (1, 4): 2.0})
    target = inputs[:, 1, 0] * inputs[:, 1, 1]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = probe(model, RESIDUAL, target, 1, inputs=inputs, seed=4)
    assert first == probe(model, RESIDUAL, target, 1, inputs=inputs, seed=4)
    assert first != probe(model, RESIDUAL, target, 1, inputs=inputs, seed=5)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("n", [20, 40, 100])
def test_few_examples_stay_finite(n):
    model, inputs = _planted(), _inputs(n)
    _write(model, {(i, i): 1.0 for i in range(4)})
    result = probe(model, RESIDUAL, inputs[:, 1, 0] + inputs[:, 1, 1], 1, inputs=inputs)
    assert result.best_pair.linear.value > 0.999
    assert np.isfinite([score.value for pair in result.pairs for score in pair[2:]]).all()
    assert result.best_pair.nonlinear.value > 0.9


def test_as_dict_is_json():
    model, inputs = _planted(), _inputs(100)
    _write(model, {(0, 1): 1.0, (1, 4): 2.0})
    result = probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs)
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert found["hook"] == RESIDUAL and found["varying"] == [1, 4]
    assert found["pairs"][0]["nonlinear"]["value"] == result.best_pair.nonlinear.value
    assert found["tied_neurons"] == [1] and found["tied_pairs"] == [[1, 4]]
    assert found["control"]["population"]["linear"] == result.control.population.linear
    assert found["untrained"] == {
        "what": "untrained network", "read_out": None, "gain": None, "reason": "none was given",
    }  # fmt: skip


def test_hooks_and_modes_are_put_back_also_after_an_exception():
    model, inputs = _planted(), _inputs(100)
    model.train()
    _write(model, {(0, 1): 1.0})
    for position in (7, 1):
        if position == 7:
            with pytest.raises(InputError, match="positions 0 to 2"):
                probe(model, RESIDUAL, inputs[:, 1, 0], position, inputs=inputs)
        else:
            probe(model, RESIDUAL, inputs[:, 1, 0], position, inputs=inputs)
        assert _no_hooks(model)
        assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hook": "blocks.0.hook_resid_pots"}, "unknown hook 'blocks.0.hook_resid_pots'; did you mean"),
        ({"hook": "blocks.0.attn.hook_pattern"}, "holds no neurons"),
        ({"position": 3}, "positions 0 to 2 .* found 3"),
        ({"position": -4}, "found -4"),
        ({"position": None}, "found None"),
        ({"target": torch.ones(100)}, "target is constant"),
        ({"target": torch.arange(99.0)}, r"target must have shape \[100\]"),
        ({"target": torch.rand(100, 2)}, r"target must have shape \[100\]"),
        ({"target": torch.tensor([torch.nan, *range(99)])}, "1 NaN or infinite"),
        ({"inputs": _inputs(19), "target": torch.arange(19.0)}, "at least 20 examples, found 19"),
        ({"inputs": _inputs(100) * torch.nan}, "NaN or infinite activations"),
        ({"max_pairs_neurons": 1}, "max_pairs_neurons"),
        ({"varying_threshold": -1.0}, "varying_threshold must be at least 0"),
    ],
)
def test_mistakes_are_one_line(change, message):
    model = _planted()
    _write(model, {(0, 1): 1.0})
    given = dict(hook=RESIDUAL, target=torch.arange(100.0), position=1, inputs=_inputs(100)) | change
    with pytest.raises(InputError, match=message) as caught:
        probe(model, given.pop("hook"), given.pop("target"), given.pop("position"), **given)
    assert "\n" not in str(caught.value)
    assert _no_hooks(model)


def test_a_position_where_there_is_none():
    with pytest.raises(InputError, match="position must be None"):
        probe(MLP([2, 3, 1]), "layers.0.hook_post", torch.arange(30.0), 0, inputs=torch.rand(30, 2))


def test_a_bridge():
    """Whether token 1 is above 4 is linear in the residual stream at token 1, and nowhere at token 0.

    Its 40 values are the distinct inputs there, eight of them held out at a time, so it is learned from the others: the
    embedding of each is made to say it.
    """
    config = TransformerBridgeConfig(
        n_layers=1, d_model=8, n_heads=2, d_head=4, d_mlp=16, n_ctx=4, d_vocab=40, act_fn="gelu"
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of some weights a neuron hardly varies
        model = TransformerBridge.boot_native(config)
    with torch.no_grad():
        model.embed.weight[:, 3] = torch.arange(40.0) % 2
    tokens = torch.randint(40, (400, 3), generator=torch.Generator().manual_seed(0))
    target = tokens[:, 1] % 2
    held, unheld = (
        probe(model, "blocks.0.hook_resid_pre", target, p, inputs=tokens, max_pairs_neurons=2) for p in (1, 0)
    )
    assert held.made.unit == "what reaches this place: token 1" and held.made.units == 40 and held.kind == "classes"
    assert held.population.linear.value > 0.99 and held.best_neuron.neuron == 3
    assert held.inputs.read_out.linear.value < 0.1 and held.inputs.gain.linear.low > 0.5
    assert unheld.population.linear.value < 0.1
    z = probe(model, "blocks.0.attn.hook_z", target, 1, inputs=tokens, max_pairs_neurons=2)
    assert z.varying == list(range(8)) and z.made.unit == "token 1, which determines the target"
    assert _no_hooks(model)


def _ratio(n=200):
    model, inputs = _planted(), _inputs(n)
    _write(model, {(0, 2): 1.0, (1, 5): -3.0})
    return model, inputs, inputs[:, 1, 0] / inputs[:, 1, 1]


def test_a_result_prints_in_a_line_and_as_a_table():
    model, inputs, target = _ratio()
    result = probe(model, RESIDUAL, target, 1, inputs=inputs)
    text, table = repr(result), result._repr_html_()
    assert len(text) < 500 and "\n" not in text
    assert "2 varying neurons, 200 distinct inputs, 40 held out" in text and "pair 2 and 5 1.0000" in text
    assert "linear gain over the inputs 0.0" in text
    assert table.count("<tr>") == 1 + 1 + 3 + 1 + 2 + 3 + 2 and "target shuffled" in table
    assert "<b>" not in result._replace(hook="<b>")._repr_html_()
    empty = probe(_planted(), RESIDUAL, target, 1, inputs=inputs)
    assert "0 varying neurons" in repr(empty) and "<table>" in empty._repr_html_()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_scale_of_targets_and_activations_does_not_matter(scale):
    model, inputs, target = _ratio()
    plain = probe(model, RESIDUAL, target, 1, inputs=inputs)
    large = probe(model, RESIDUAL, target * scale, 1, inputs=inputs)
    assert large.best_pair.nonlinear.value == pytest.approx(plain.best_pair.nonlinear.value, abs=1e-6)
    with torch.no_grad():
        model.embed.W_E.mul_(scale)
    again = probe(model, RESIDUAL, target, 1, inputs=inputs)
    assert again.population.nonlinear.value == pytest.approx(plain.population.nonlinear.value, abs=1e-6)


def test_a_neuron_that_moves_in_no_training_example_predicts_the_mean():
    model, inputs, target = _ratio(400)
    held_out = divide(checked_target(target, 400), {"token 1": inputs[:, 1].numpy()}, 0).folds[0][1]
    inputs[:, 1, 2] = 0.0
    inputs[held_out[0], 1, 2] = 1.0
    _write(model, {(2, 4): 1.0})
    result = probe(model, RESIDUAL, target, 1, inputs=inputs)
    (lonely,) = (neuron for neuron in result.neurons if neuron.neuron == 4)
    assert lonely.linear == lonely.nonlinear and lonely.linear.value <= 0


@pytest.mark.parametrize("kind", [list, np.asarray, torch.as_tensor])
def test_targets_of_other_kinds(kind):
    model, inputs, target = _ratio()
    wanted = probe(model, RESIDUAL, target, 1, inputs=inputs)
    found = probe(model, RESIDUAL, kind(target.tolist()), 1, inputs=inputs)
    assert found.best_pair.nonlinear.value == pytest.approx(wanted.best_pair.nonlinear.value, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": _inputs(0), "target": torch.zeros(0)}, "at least 20 examples, found 0"),
        ({"target": torch.full((100,), torch.inf)}, "100 NaN or infinite"),
        ({"target": ["a"] * 100}, "target must be numbers"),
        ({"target": None}, "target must be numbers"),
        ({"target": torch.arange(100.0) + 1j}, "real numbers"),
        ({"position": 1.5}, "found 1.5"),
        ({"position": True}, "found True"),
        ({"hook": None}, "hook must be the name of one, found None"),
        ({"hook": ["hook_embed"]}, "hook must be the name of one"),
        ({"varying_threshold": float("nan")}, "varying_threshold must be finite"),
    ],
)
def test_odd_values_are_one_line(change, message):
    test_mistakes_are_one_line(change, message)
