"""Planted truths that a probe must name, and the ones it must not find: controls, ties, classes, distinct inputs."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from bimt_tf.analysis.probe import probe
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.tasks.groups import permutation_table

RESIDUAL = "blocks.0.hook_resid_post"


def carrying(columns, d_model=8):
    """A transformer whose residual stream is the columns named: neuron -> {feature: weight}; nothing else in it."""
    model = RegressionTransformer(d_in=4, d_model=d_model, n_layers=1, d_mlp=4, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for neuron, weights in columns.items():
            for feature, weight in weights.items():
                model.embed.W_E[feature, neuron] = weight
    return model


def numbers(n=600, seed=0):
    """Independent normal numbers at token 1, zeros elsewhere."""
    inputs = torch.zeros(n, 3, 4, dtype=torch.float64)
    inputs[:, 1] = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return inputs


def test_a_copy_is_named_and_a_correlated_decoy_is_not():
    model, inputs = carrying({5: {0: 1.0}, 2: {0: 1.0, 1: 0.3}, 7: {3: 1.0}}), numbers()
    result = probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs)
    assert [one.neuron for one in result.tied_neurons] == [5]
    decoy = next(one for one in result.neurons if one.neuron == 2)
    assert 0.85 < decoy.linear.value < 0.95  # 1 / (1 + 0.3^2) of the variance
    assert decoy.linear.low < 1 / 1.09 < decoy.linear.high
    assert result.inputs.read_out.linear.value > 1 - 1e-6 and abs(result.inputs.gain.linear.value) < 1e-6


def test_two_copies_are_a_tie():
    model, inputs = carrying({5: {0: 1.0}, 3: {0: -2.0}, 1: {1: 1.0}}), numbers()
    result = probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs)
    assert sorted(one.neuron for one in result.tied_neurons) == [3, 5]
    assert len(result.tied_pairs) == 3  # every pair has one of the two
    assert "(2 tie with it)" in repr(result) and "(one of 2 that tie)" in result._repr_html_()
    assert sorted(result.as_dict()["tied_neurons"]) == [3, 5]


def test_a_random_network_has_nothing_of_noise_and_gains_nothing_on_what_it_passes_on():
    model = RegressionTransformer(d_in=4, d_model=16, n_layers=2, d_mlp=32, dtype=torch.float64, seed=3)
    inputs = torch.randn(600, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = torch.randn(600, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    result = probe(model, RESIDUAL, noise, 1, inputs=inputs, max_pairs_neurons=4)
    for score in result.population:
        assert score.value < 0.05 and score.low < 0
    assert result.inputs.gain.linear.low <= 0.01
    assert max(one.nonlinear.value for one in (*result.pairs, *result.neurons)) < 0.08
    passed_on = probe(model, "hook_embed", inputs[:, 1, 2], 1, inputs=inputs, max_pairs_neurons=2)
    assert passed_on.population.linear.value > 0.999 and abs(passed_on.inputs.gain.linear.value) < 1e-4


def test_what_a_random_network_gives_is_no_gain_over_an_untrained_one():
    """Random hidden neurons give products of the inputs to a linear regressor: the untrained network shows it."""
    models = [MLP([2, 40, 1], "silu", seed=seed, dtype=torch.float64) for seed in (1, 2)]
    inputs = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = inputs[:, 0] * inputs[:, 1]
    result = probe(models[0], "layers.0.hook_post", target, inputs=inputs, untrained=models[1], max_pairs_neurons=2)
    assert result.inputs.gain.linear.low > 0.5
    assert abs(result.untrained.gain.linear.value) < 0.1
    assert result.stage_before.what == "stage before (layers.0.hook_pre)" and result.stage_before.gain.linear.low > 0.5
    with pytest.raises(InputError, match="untrained must be of the model's architecture"):
        probe(models[0], "layers.0.hook_post", target, inputs=inputs, untrained=MLP([2, 41, 1], dtype=torch.float64))


def pairs():
    """All pairs of S4's elements, and a network that reads them."""
    model = TokenMLP(24, 12, 2, [8, 24], seed=0, dtype=torch.float64)
    return model, torch.cartesian_prod(torch.arange(24), torch.arange(24))


@pytest.mark.parametrize(("hook", "position"), [("hook_embed", 0), ("layers.0.hook_post", None)])
def test_a_random_label_for_each_element_cannot_be_read_off_elements_that_are_held_out(hook, position):
    """Divided by pair instead, the same read-out is perfect: every element is trained on."""
    model, inputs = pairs()
    found, by_pair = [], []
    for seed in range(3):
        label = torch.randn(24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)[inputs[:, 0]]
        result = probe(model, hook, label, position, inputs=inputs, max_pairs_neurons=2, seed=seed)
        assert result.made.units == 24 and result.made.folds == 5
        found += [result.population.linear.value, result.population.nonlinear.value]
        with torch.no_grad():
            x = model.embed(inputs[:, 0])
        x, order = np.c_[x.numpy(), x.numpy() ** 2], np.random.default_rng(seed).permutation(576)
        train, test = order[115:], order[:115]
        by_pair.append(LinearRegression().fit(x[train], label[train]).score(x[test], label[test]))
    assert max(found) < 0.15 and np.mean(found) < 0.05
    assert min(by_pair) > 0.95


def test_a_sign_in_a_neuron_is_read_off_elements_that_are_held_out():
    model, inputs = pairs()
    sign = torch.tensor(permutation_table()[1])
    with torch.no_grad():
        model.embed.weight[:, 4] = sign
    result = probe(model, "hook_embed", sign[inputs[:, 0]], 0, inputs=inputs)
    assert result.kind == "classes" and result.chance == 0.5
    assert result.best_neuron.neuron == 4 and result.best_neuron.nonlinear.accuracy == 1.0
    assert [one.neuron for one in result.tied_neurons] == [4]
    assert result.population.linear.value > 0.5 and result.inputs.gain.linear.low > 0.3
    other = probe(model, "hook_embed", sign[inputs[:, 1]], 0, inputs=inputs, max_pairs_neurons=2)
    assert other.population.linear.value < 0.05


def test_classes_of_three_and_of_two():
    model, inputs = carrying({5: {0: 1.0}, 3: {1: 1.0}}), numbers(800)
    of_three = torch.bucketize(inputs[:, 1, 0].contiguous(), torch.tensor([-0.5, 0.5], dtype=torch.float64)) * 7
    result = probe(model, RESIDUAL, of_three, 1, inputs=inputs)
    assert result.kind == "classes" and result.chance == pytest.approx(of_three.bincount().max() / 800)
    assert result.best_neuron.neuron == 5 and result.best_neuron.nonlinear.accuracy > 0.9
    assert result.best_neuron.nonlinear.value > 0.7 > result.neurons[0].nonlinear.value + 0.6
    assert "their accuracy (chance" in result._repr_html_() and "Brier skill" in result._repr_html_()
    above = inputs[:, 1, 0] > 0
    assert probe(model, RESIDUAL, above, 1, inputs=inputs).population.linear.accuracy > 0.95
    as_numbers = probe(model, RESIDUAL, of_three, 1, inputs=inputs, kind="numbers")
    assert as_numbers.kind == "numbers" and as_numbers.chance is None
    assert as_numbers.population.linear.accuracy is None and as_numbers.population.nonlinear.value > 0.8
    with pytest.raises(InputError, match="did you mean 'classes'"):
        probe(model, RESIDUAL, above, 1, inputs=inputs, kind="clases")
    with pytest.raises(InputError, match="800 classes in 800 examples"):
        probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs, kind="classes")


def test_what_cannot_be_held_out_is_undefined_with_a_reason_and_never_nan():
    model, inputs = carrying({5: {0: 1.0}, 3: {1: 1.0}}), numbers(100)
    result = probe(model, RESIDUAL, torch.eye(100)[0], 1, inputs=inputs, kind="numbers")
    assert result.population.linear.value is None and "constant over the" in result.population.linear.reason
    assert result.best_pair is None and result.tied_pairs == [] and result.inputs.gain.linear.value is None
    assert "undefined" in repr(result) and "undefined" in result._repr_html_()
    few = numbers(5).repeat(20, 1, 1)
    result = probe(model, RESIDUAL, torch.arange(100.0), 1, inputs=few)
    assert "(5 distinct values): a held-out score needs at least 20" in result.population.nonlinear.reason
    tokens, elements = torch.arange(40).repeat(10)[:, None], TokenMLP(40, 4, 1, [3], seed=0)
    result = probe(elements, "hook_embed", tokens[:, 0], 0, inputs=tokens, kind="classes")
    assert "no held-out class occurs in training" in result.population.linear.reason


def test_the_same_examples_in_another_device_order_or_scale_are_the_same_units():
    """0.0 and -0.0 are one number; repeated examples are held out together."""
    model, inputs = carrying({5: {0: 1.0}, 3: {1: 1.0}}), numbers(60).repeat(4, 1, 1)
    inputs[60:120, 0] = -0.0
    target = torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64).repeat(4)
    result = probe(model, RESIDUAL, target, 1, inputs=inputs)
    assert (result.made.units, result.made.examples, result.made.folds) == (60, 240, 5)
    assert max(score.value for score in result.population) < 0.2


def test_the_models_hooks_are_gone_after_an_exception_in_a_hook_of_the_users():
    model, inputs = carrying({5: {0: 1.0}}), numbers(60)

    def fails(*_, hook):
        raise RuntimeError("mine")

    model.hook_dict[RESIDUAL].add_hook(fails, is_permanent=True)
    model.train()
    with pytest.raises(RuntimeError, match="mine"):
        probe(model, RESIDUAL, inputs[:, 1, 0], 1, inputs=inputs)
    model.reset_hooks(including_permanent=True)
    assert all(not point._forward_hooks for point in model.hook_dict.values())
    assert all(module.training for module in model.modules())
