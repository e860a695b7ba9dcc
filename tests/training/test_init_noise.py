"""Noise on the initial weights: its size, its seed, and that a run without it is what it was."""

from __future__ import annotations

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.training.init_noise import perturb_
from bimt_tf.training.setup import set_up


def config(**training):
    usual = {"steps": 5, "compile": "no", "batch_size": 16, "eliminate": False}
    return make("symbolic-b", overrides={"training": {**usual, **training}})


def weights(**training):
    return {name: p.detach().clone() for name, p in set_up(config(**training)).model.named_parameters()}


def test_noise_has_the_size_that_is_asked_for():
    model, before = MLP([30, 40, 20]), MLP([30, 40, 20])
    with torch.no_grad():
        for m in (model, before):
            m.layers[1].bias.zero_()
    perturb_(model, 0.1, 3)
    for (name, p), q in zip(model.named_parameters(), before.parameters(), strict=True):
        size = float(q.detach().square().mean().sqrt())
        assert float((p - q).detach().std()) == pytest.approx(0.1 * size, rel=0.3), name
    assert not model.layers[1].bias.any()


def test_a_run_without_noise_is_as_it_was_and_noise_is_of_its_seed():
    plain, again = weights(), weights(init_noise_seed=5)
    one, same, other = (weights(init_noise=0.01, init_noise_seed=s) for s in (1, 1, 2))
    twice = weights(init_noise=0.02, init_noise_seed=1)
    for name, p in plain.items():
        assert torch.equal(p, again[name]) and torch.equal(one[name], same[name])
        assert not torch.equal(p, one[name]) and not torch.equal(one[name], other[name])
        assert torch.allclose(2 * (one[name] - p), twice[name] - p, atol=1e-6)


def test_noise_that_cannot_be():
    for wrong in ({"init_noise": -1.0}, {"init_noise_seed": -1}):
        with pytest.raises(InputError):
            config(**wrong)
