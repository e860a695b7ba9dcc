"""BIMT on a loop of one's own: the optimizer's hooks press, move neurons, cut, and keep zeros at zero."""

from __future__ import annotations

import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry, attach
from bimt_tf.core.zeros import Zeros
from bimt_tf.errors import InputError


def made(seed=0):
    model = MLP([3, 8, 8, 1], seed=seed)
    return model, BIMT(model, Geometry(width=1.0, layer_gap=0.1), reduction="sum")


def data():
    x = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    return x, (x[:, :1] * x[:, 1:2])


def loop(model, optimizers, steps):
    x, y = data()
    for _ in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()


def adam(model, **settings):
    return torch.optim.Adam(model.parameters(), lr=1e-2, **settings)


def zeros(model):
    return {name: p == 0 for name, p in model.named_parameters()}


def test_the_pressed_phase_is_step_and_shrink():
    """The same weights, bit for bit, as the two calls by hand."""
    (model, bimt), (other, by_hand) = made(), made()
    attached = attach(bimt, one := adam(model), steps=20, lam=((0.0, 0.001), (0.5, 0.01)), finish=0, swap_every=0)
    loop(model, [one], 20)
    optimizer, (x, y) = adam(other), data()
    for step in range(20):
        optimizer.zero_grad()
        (other(x) - y).square().mean().backward()
        by_hand.step_(optimizer, 0.001 if step < 10 else 0.01)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert attached.phase == "over"


def test_the_gradient_is_added_before_the_step():
    (model, bimt), (other, by_hand) = made(), made()
    attach(bimt, one := adam(model), steps=10, lam=0.01, penalty="gradient", finish=0, swap_every=0)
    loop(model, [one], 10)
    optimizer, (x, y) = adam(other), data()
    for _ in range(10):
        optimizer.zero_grad()
        (other(x) - y).square().mean().backward()
        by_hand.add_cost_grad_(0.01)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_from_the_finish_on_zeros_stay_zero_and_the_rest_moves():
    model, bimt = made()
    attached = attach(bimt, one := torch.optim.AdamW(model.parameters(), lr=1e-2), steps=100, lam=0.02, finish=0.5)
    loop(model, [one], 50)
    assert attached.phase == "finish" and attached.lam == 0.0
    cut, before = zeros(model), [p.clone() for p in model.parameters()]
    assert sum(int(z.sum()) for z in cut.values()) > 10
    assert all(((p == 0) | (p.abs() > 1e-2)).all() for p in model.parameters())
    loop(model, [one], 50)
    after = zeros(model)
    assert all((after[name] >= cut[name]).all() for name in cut)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_momentum_alone_would_bring_them_back():
    """What keep_zeros is for: without it the same steps leave fewer zeros."""
    left = []
    for keep in (False, True):
        model, bimt = made()
        loop(model, [one := adam(model)], 30)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_((p.abs() > 0.2).to(p.dtype))
        wanted, (x, y) = zeros(model), data()
        for _ in range(5):
            one.zero_grad()
            (model(x) - y).square().mean().backward()
            bimt.step_(one, 0.0, keep_zeros=keep)
        left.append(all((zeros(model)[name] >= wanted[name]).all() for name in wanted))
    assert left == [False, True]


def test_neurons_move_when_they_should():
    model, bimt = made()
    layouts = [bimt.layout]
    attached = attach(bimt, one := adam(model), steps=60, lam=0.01, swap_every=20, finish=0.5)
    for _ in range(60):
        loop(model, [one], 1)
        if bimt.layout is not layouts[-1]:
            layouts.append(bimt.layout)
    assert [attached.step, attached.phase] == [60, "over"]
    assert len(layouts) > 1
    still = attach(other := made()[1], adam(other.model), steps=9, lam=0.01, swap_every=0)
    before = other.layout
    loop(other.model, [torch.optim.SGD(other.model.parameters(), lr=0.1)], 9)
    assert other.layout is before and still.step == 0  # another optimizer's steps are not counted


def test_two_optimizers_share_the_parameters():
    model, bimt = made()
    names = dict(model.named_parameters())
    weights = [p for p in names.values() if p.ndim == 2]
    rest = [p for p in names.values() if p.ndim == 1]
    two = [torch.optim.Adam(weights, lr=1e-2), torch.optim.SGD(rest, lr=1e-2)]
    attached = attach(bimt, two, steps=10, lam=0.05, finish=0)
    loop(model, two, 10)
    assert attached.step == 10
    assert sum(int((p == 0).sum()) for p in weights) > 0
    with pytest.raises(InputError, match="3 of the parameters that the connection cost charges are in none"):
        attach(bimt, two[0], steps=10, lam=0.1)


def test_a_resumed_loop_ends_with_the_same_bits():
    model, bimt = made()
    attach(bimt, one := adam(model), steps=80, lam=0.01, swap_every=10)
    loop(model, [one], 80)
    wanted, wanted_slots = list(model.parameters()), bimt.layout.slots

    model, bimt = made()
    attached = attach(bimt, one := adam(model), steps=80, lam=0.01, swap_every=10)
    loop(model, [one], 60)
    kept = {"model": model.state_dict(), "optimizer": one.state_dict(), "attached": attached.state_dict()}
    model, bimt = made(seed=5)
    again = attach(bimt, one := adam(model), steps=80, lam=0.01, swap_every=10)
    model.load_state_dict(kept["model"])
    one.load_state_dict(kept["optimizer"])
    again.load_state_dict(kept["attached"])
    assert again.phase == "finish"
    loop(model, [one], 20)
    assert all(torch.equal(a, b) for a, b in zip(wanted, model.parameters(), strict=True))
    assert all(torch.equal(wanted_slots[name], slots) for name, slots in bimt.layout.slots.items())


def test_removed_hooks_leave_the_optimizer_alone():
    model, bimt = made()
    attached = attach(bimt, one := adam(model), steps=10, lam=1.0)
    attached.remove()
    loop(model, [one], 10)
    assert attached.step == 0 and not any((p == 0).any() for p in model.parameters() if p.ndim == 2)


def test_a_scaler_that_skips_a_step_skips_the_penalty():
    model, bimt = made()
    attached = attach(bimt, one := torch.optim.SGD(model.parameters(), lr=1e-2), steps=10, lam=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    x, y = data()
    scaler.scale((model(x) - y).square().mean()).backward()
    next(model.parameters()).grad.fill_(float("inf"))
    scaler.step(one)
    scaler.update()
    assert attached.step == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0, "lam": 0.1}, "steps must be"),
        ({"steps": 10, "lam": -1.0}, "lam must be at least 0"),
        ({"steps": 10, "lam": 0.1, "penalty": "l2"}, "penalty"),
        ({"steps": 10, "lam": 0.1, "finish": 1.5}, "finish must be at most 1"),
        ({"steps": 10, "lam": 0.1, "swap_method": "greddy"}, "greedy"),
        ({"steps": 10, "lam": "log:0.5:1"}, "lam must start at 0"),
    ],
)
def test_wrong_values_are_refused(settings, said):
    model, bimt = made()
    with pytest.raises(InputError, match=said):
        attach(bimt, adam(model), **settings)


def test_what_cannot_be_is_refused():
    model, bimt = made()
    with pytest.raises(TypeError, match="swap_evry"):
        attach(bimt, adam(model), steps=10, lam=0.1, swap_evry=3)
    with pytest.raises(InputError, match="L-BFGS"):
        attach(bimt, torch.optim.LBFGS(model.parameters()), steps=10, lam=0.1)
    attach(bimt, one := torch.optim.SGD(model.parameters(), lr=0.1), steps=10, lam=0.1, penalty="gradient")
    with pytest.raises(InputError, match="closure"):
        one.step(lambda: model(data()[0]).sum())


def test_zeros_of_nothing_change_nothing():
    Zeros({}).keep_({"w": torch.ones(2)})


def test_a_tensor_of_ones_own_moves_with_the_neurons():
    """What is baked twice is put in order once: a copy of the weights, reordered, equals the baked weights."""
    model, bimt = made()
    generator = torch.Generator().manual_seed(0)
    parameters = dict(model.named_parameters())
    into, out = (name for name, p in parameters.items() if p.shape == (8, 8) or p.shape in ((3, 8), (8, 3)))
    average = {name: p.detach().clone() for name, p in parameters.items()}
    populations = [name for name, p in bimt.wiring.populations.items() if p.size == 8]
    first = average[into]
    axis = first.shape.index(8)
    assert torch.equal(bimt.apply_order(first, populations[0], axis), first)
    for _ in range(2):
        bimt.layout = type(bimt.layout).random(bimt.wiring, generator)
        bimt.bake_()
    moved = bimt.apply_order(first, populations[0], axis)
    assert torch.equal(moved, parameters[into]) and not torch.equal(moved, first)
    both = bimt.apply_order(bimt.apply_order(average[out], populations[0], 0), populations[1], 1)
    swapped = bimt.apply_order(bimt.apply_order(average[out], populations[0], 1), populations[1], 0)
    assert torch.equal(both, parameters[out]) or torch.equal(swapped, parameters[out])
    assert torch.equal(bimt.apply_order(moved, populations[0], axis, inverse=True), first)
    with pytest.raises(InputError, match="is not the 8 neurons"):
        bimt.apply_order(torch.zeros(7), populations[0])
    with pytest.raises(InputError, match="population"):
        bimt.apply_order(torch.zeros(8), "hiden0")


FUSED = (torch.optim.AdamW, torch.optim.SGD)


@pytest.mark.parametrize("optimizer", FUSED)
def test_a_fused_step_that_overflowed_is_no_step(optimizer):
    """A scaler calls it all the same, with a first step that was never taken: v_hat is 0/0 there."""
    model, bimt = made()
    one = optimizer(model.parameters(), lr=1e-2, fused=True)
    attached = attach(bimt, one, steps=10, lam=0.1)
    before = [p.detach().clone() for p in model.parameters()]
    scaler, (x, y) = torch.amp.GradScaler("cpu"), data()
    scaler.scale((model(x) - y).square().mean() * float("inf")).backward()
    scaler.step(one)
    assert attached.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    bimt.shrink_(0.1, one)
    assert all(bool(p.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("optimizer", FUSED)
def test_a_fused_step_divides_the_penalty_by_no_scale(optimizer):
    """It takes the scale out of the gradients itself, so the cost's is put in with the scale."""

    def weights(scale):
        model, bimt = made()
        one = optimizer(model.parameters(), lr=1e-2, fused=True)
        attach(bimt, one, steps=10, lam=0.1, penalty="gradient", finish=0, swap_every=0)
        scaler, (x, y) = torch.amp.GradScaler("cpu", init_scale=scale), data()
        for _ in range(5):
            one.zero_grad()
            scaler.scale((model(x) - y).square().mean()).backward()
            scaler.step(one)
            scaler.update()
        return [p.detach() for p in model.parameters()]

    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights(1.0), weights(2.0**16), strict=True))


def test_adafactor_of_transformers_has_a_second_moment_of_its_own():
    from transformers.optimization import Adafactor

    model, bimt = made()
    one = Adafactor(model.parameters(), lr=1e-2, relative_step=False, scale_parameter=False)
    attach(bimt, one, steps=4, lam=0.1)
    loop(model, [one], 4)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    with pytest.raises(InputError, match="Adafactor has lr=None"):
        attach(bimt, Adafactor(model.parameters()), steps=4, lam=0.1)


def test_a_model_is_attached_to_an_optimizer_once():
    model, bimt = made()
    first = attach(bimt, one := adam(model), steps=10, lam=0.1)
    with pytest.raises(InputError, match="attached to this optimizer already"):
        attach(bimt, one, steps=10, lam=0.1)
    first.remove()
    attach(bimt, one, steps=10, lam=0.1)
    attach(bimt, adam(model), steps=10, lam=0.1)


@pytest.mark.parametrize("step", ["x", torch.tensor([1, 2]), torch.tensor(2.5), torch.tensor(float("nan")), -1])
def test_a_state_with_a_wrong_step_changes_nothing(step):
    model, bimt = made()
    attached, before = attach(bimt, adam(model), steps=10, lam=0.1), bimt.layout
    with pytest.raises(InputError, match="step must be a whole number"):
        attached.load_state_dict({**bimt.state_dict(), "step": step})
    assert bimt.layout is before


def test_a_state_of_a_longer_training_is_refused_and_of_its_end_is_over():
    model, bimt = made()
    attached = attach(bimt, adam(model), steps=10, lam=0.1)
    with pytest.raises(InputError, match="taken after 11 steps and there are 10 here.*steps=11 or more"):
        attached.load_state_dict({**bimt.state_dict(), "step": torch.tensor(11)})
    assert attached.step == 0
    attached.load_state_dict({**bimt.state_dict(), "step": torch.tensor(10)})
    assert attached.phase == "over"


@pytest.mark.parametrize("lam", [None, [1], {"a": 1}, (1, 2), ((0, "a"),), ((0.0, 0.1, 0.2),)])
def test_what_is_no_schedule_is_refused(lam):
    model, bimt = made()
    with pytest.raises(InputError, match="lam must be a number, START:VALUE pairs"):
        attach(bimt, adam(model), steps=10, lam=lam)


@pytest.mark.parametrize("axis", [1.0, True, None, "x"])
def test_an_axis_is_a_whole_number(axis):
    _, bimt = made()
    with pytest.raises(InputError, match="axis must be a whole number"):
        bimt.apply_order(torch.zeros(8, 8), "hidden0", axis)
