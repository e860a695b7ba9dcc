"""The penalty: what a step owes, what a swap sees, and that it changes nothing that is not its own."""

import pytest
import torch
from torch import nn

from bimt_tf import BIMT, Geometry
from bimt_tf.config.reading import make
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.penalty import EffectivePenalty, penalty_of


def small(method="bimt", **training):
    return make("symbolic-a", method=method, overrides={"training": {"steps": 100, **training}})


def made(config):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.SiLU(), nn.Linear(6, 2))
    bimt = BIMT(model, Geometry(2.0, 0.5), reduction="mean")
    flat = FlatParameters(model)
    penalty = penalty_of(bimt, flat, config)
    penalty.follow(0)
    return bimt, flat, penalty


def test_its_value_and_gradient_are_the_costs():
    bimt, flat, penalty = made(small(penalty="subgradient"))
    assert penalty.value() == pytest.approx(bimt.cost().item())
    flat.vector.grad.zero_()
    penalty.before_step_(0.3)
    wanted = torch.autograd.grad(0.3 * bimt.cost(), list(flat.named.values()))
    for own, reference in zip(flat.split(flat.vector.grad), wanted, strict=True):
        torch.testing.assert_close(own, reference)


def test_a_plain_l1_pays_the_layer_gap_everywhere_and_follows_no_layout():
    bimt, _, penalty = made(small("l1-swap"))
    before = penalty.lengths()
    bimt.swap()
    penalty.follow(0)
    assert all(torch.equal(before[name], length) for name, length in penalty.lengths().items())
    assert before["0.weight"].unique().tolist() == [pytest.approx(0.5 / 24)]
    assert bimt.geometry.width == 2.0


def test_it_follows_the_layout_after_a_swap():
    bimt, _, penalty = made(small())
    before = penalty.value()
    report = bimt.swap(weights=penalty.weights())
    assert penalty.value() == before == pytest.approx(report.cost_before)
    penalty.follow(0)
    assert penalty.value() == pytest.approx(report.cost_after) and report.cost_after < report.cost_before


def test_biases_pay_from_their_step_on():
    config = small(bias_free=0.5, finish=0.0)
    _, _, penalty = made(config)
    assert not penalty.lengths()["0.bias"].any()
    penalty.follow(50)
    assert (penalty.lengths()["0.bias"] > 0).all()


def test_effective_weights_are_shown_to_a_swap_and_not_written():
    config = make(
        "modular-addition-transformer",
        overrides={
            "data": {"modulus": 7},
            "model": {"d_model": 8, "n_heads": 2, "normalization": "rms"},
            "training": {"batch_size": 8, "norms": "effective"},
        },
    )
    from bimt_tf.training.setup import set_up

    state = set_up(config)._state
    assert isinstance(state.penalty, EffectivePenalty)
    with torch.no_grad():
        for name, p in state.flat.named.items():
            if name.endswith(("ln1.w", "ln1.weight")):
                p.mul_(torch.linspace(1, 3, len(p)))
    before, shown = state.flat.vector.detach().clone(), state.penalty.weights()
    state.swap()
    assert torch.equal(before, state.flat.vector)
    moved = [name for name, p in state.flat.named.items() if not torch.equal(shown[name], p)]
    assert moved and all("attn" in name for name in moved)
    sizes = torch.cat([w.abs().reshape(-1) for w in shown.values()])
    assert torch.equal(sizes, state.penalty.sizes())
