"""A step on one vector: the quick operations give the plain ones' bits, and the compiled step is the eager one."""

from __future__ import annotations

import shutil

import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry
from bimt_tf.config.reading import make
from bimt_tf.core import cost
from bimt_tf.tasks.base import Data
from bimt_tf.training.adam import _update_, adam_step_
from bimt_tf.training.batches import Drawn
from bimt_tf.training.finite import NonFiniteLoss
from bimt_tf.training.setup import state_of
from bimt_tf.training.threshold import OnVector

COMPILER = pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="no C++ compiler here")
STEPS = ((1e-2, 0.3), (1e-2, 0.3), (3e-3, 0.3), (1e-2, 0.05), (0.0, 0.05), (2e-2, 0.0), (1e-2, 1.0))
"""Of each step, the learning rate and lambda."""


def vector(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    made = torch.nn.Parameter(torch.randn(300, generator=generator, dtype=dtype) / 20)
    made.grad = torch.zeros_like(made)
    return made, torch.optim.AdamW([made], lr=1e-2, weight_decay=0.1, fused=True), generator


@pytest.mark.parametrize(("dtype", "short"), [(torch.float32, 300), (torch.float64, 300), (torch.float32, 299)])
def test_the_quick_operations_give_the_bits_of_the_plain_ones(dtype, short, monkeypatch):
    monkeypatch.setattr("bimt_tf.core.threshold.SHORT", short)
    (plain, plain_adam, _), (quick, quick_adam, generator) = vector(dtype), vector(dtype)
    acts = OnVector(quick)
    owed = torch.rand(300, generator=generator, dtype=dtype).round(decimals=1)  # a tenth or so pays nothing
    for number, (lr, lam) in enumerate(STEPS * 3):
        if number % 5 == 4:  # another layout
            owed = owed.flip(0)
        if number == 12:  # the moments begin anew
            plain_adam.state.clear()
            quick_adam.state.clear()
        gradient = torch.randn(300, generator=generator, dtype=dtype)
        for weights, optimizer in ((plain, plain_adam), (quick, quick_adam)):
            weights.grad.copy_(gradient)
            optimizer.param_groups[0].update(lr=lr, betas=(0.9, 0.99 if number > 9 else 0.999), weight_decay=lam / 9)
        if number % 2:
            cost.add_gradient_([(plain, owed)], lam)
            acts.add_gradient_(owed, lam)
        plain_adam.step()
        _update_(quick_adam)
        cost.shrink_([(plain, owed)], lam, plain_adam)
        acts.shrink_(owed, lam, quick_adam)
        assert torch.equal(plain, quick) and torch.equal(plain.grad, quick.grad)
        for name, moment in plain_adam.state[plain].items():
            assert torch.equal(moment, quick_adam.state[quick][name]), name
    assert (quick == 0).any() and (quick != 0).any()


def state(method, penalty, compiled, target=1.0):
    model = MLP([3, 5, 2], "silu", seed=0, dtype=torch.float64)
    training = {"penalty": penalty, "compile": "yes" if compiled else "no", "weight_decay": 0.02}
    config = make("in-context", method=method, overrides={"training": training})
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = Data(x, target * x[:, :2] * x[:, 1:], {})
    made = state_of(config, BIMT(model, Geometry(2.0, 0.5)), Drawn(data, 0, 0), torch.nn.functional.mse_loss)
    made.penalty.follow(0)
    made.prepare()
    assert made.compiled is compiled
    return made


@COMPILER
@pytest.mark.parametrize(
    ("method", "penalty"), [("vanilla", "proximal"), ("bimt", "subgradient"), ("bimt", "proximal")]
)
def test_the_compiled_step_is_the_eager_one(method, penalty):
    eager, whole = state(method, penalty, False), state(method, penalty, True)
    assert torch.equal(eager.flat.vector, whole.flat.vector)  # compiling has changed nothing
    assert not whole.optimizer.state
    for number, (lr, lam) in enumerate(STEPS * 8):
        for one in (eager, whole):
            one.optimizer.param_groups[0].update(betas=(0.9, 0.99 if number > 20 else 0.999), weight_decay=lam / 9)
            if number == 15:  # neurons move
                one.bimt.swap()
                one.penalty.follow(number)
            if number == 30 and method == "bimt":  # small weights are cut and frozen
                one.kept = (one.flat.vector.detach().abs() > 0.2).double()
                one.flat.vector.data.mul_(one.kept)
            if number == 40:  # the moments begin anew
                one.optimizer.state.clear()
        losses = [adam_step_(one, 0.0 if method == "vanilla" else lam, lr) for one in (eager, whole)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        torch.testing.assert_close(eager.flat.vector, whole.flat.vector, rtol=1e-8, atol=1e-12)
        assert torch.equal(eager.flat.vector == 0, whole.flat.vector == 0)
    assert (whole.flat.vector == 0).any().item() is (method == "bimt")
    for name, moment in eager.optimizer.state[eager.flat.vector].items():
        torch.testing.assert_close(moment, whole.optimizer.state[whole.flat.vector][name], rtol=1e-7, atol=1e-14)


@COMPILER
def test_a_loss_that_is_no_number_changes_no_weight():
    diverged = state("bimt", "proximal", True, target=float("inf"))
    before = diverged.flat.vector.detach().clone()
    with pytest.raises(NonFiniteLoss):
        adam_step_(diverged, 0.1, 1e-2)
    assert torch.equal(before, diverged.flat.vector)
