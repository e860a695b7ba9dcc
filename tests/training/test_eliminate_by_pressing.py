"""Elimination by a penalty: a planted circuit, a slow reference of its steps, what is refused, and going on."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch import nn

from bimt_tf.bimt import BIMT
from bimt_tf.config.settings import EliminationConfig
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination import pressing, rounds, stages
from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.objective import CrossEntropy
from bimt_tf.training.elimination.rounds import Standing, put_

F64 = torch.float64


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
    """Rounds of a fifth of the steps, at larger rates."""
    monkeypatch.setattr(pressing, "STEPS", 100)
    monkeypatch.setattr(pressing, "REFIT_STEPS", 100)
    monkeypatch.setattr(pressing, "RATE", 0.03)
    monkeypatch.setattr(pressing, "REFIT_RATE", 0.02)


def numbers(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 - 1


def three_classes(n=200):
    """Six inputs; the class is the place of the largest of the first three, by a margin."""
    x = numbers(4 * n, 6, seed=1)
    best = x[:, :3].topk(2, dim=1).values
    x = x[best[:, 0] - best[:, 1] > 0.2][:n]
    return x, x[:, :3].argmax(1)


def planted(dtype=F64, bias=0.0):
    """A network that tells them apart by three weights, among others that nothing depends on."""
    model = MLP([6, 3], "silu", 0, dtype=dtype)
    with torch.no_grad():
        weight, shift = model.parameters()
        weight.copy_(0.3 * numbers(3, 6, seed=2))
        weight[:, :3] += 20 * torch.eye(3, dtype=dtype)
        shift.copy_(bias * numbers(3, seed=3))
    return BIMT(model)


def loss_of(bimt, data):
    with torch.no_grad():
        outputs = bimt.model(data[0].to(next(bimt.model.parameters()).dtype))
        return float(nn.functional.cross_entropy(outputs, data[1]))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_planted_circuit_is_found_within_the_budget(dtype):
    bimt, data, seen = planted(dtype, bias=0.5), three_classes(), []
    e = eliminate(bimt, data, "cross_entropy", max_loss=0.02, press=True, validation=False, on_round=seen.append)
    first, last = e.path[0], e.path[-1]
    assert e.path == tuple(seen) and e.ended and first.weights == 18
    assert {one.what for one in e.path} == {"as given", "gauge", "press"}
    assert last.loss <= 0.02 and (last.weights, last.biases) == (
        4,
        0,
    )  # of two classes less the third's: fewest there are
    assert all(later.weights + later.biases < one.weights + one.biases for one, later in itertools.pairwise(e.path))
    live = [p for p in bimt.model.parameters() if p.ndim == 2][0] != 0
    assert not bool(live[:, 3:].any())  # these inputs say nothing
    assert loss_of(bimt, data) == pytest.approx(last.loss, rel=1e-9 if dtype is F64 else 1e-3)


def test_a_network_that_the_budget_does_not_spare_stays_as_it_was_to_the_bit():
    bimt, data = planted(), three_classes()
    eliminate(bimt, data, "cross_entropy", weights=4, press=True, validation=False)
    before = {name: p.clone() for name, p in bimt.parameters.items()}
    e = eliminate(bimt, data, "cross_entropy", loss_factor=1.0, press=True, validation=False)
    assert e.ended and [one.what for one in e.path] == ["as given"]
    assert all(torch.equal(p, before[name]) for name, p in bimt.parameters.items())


def test_validation_examples_take_rounds_back():
    bimt, (x, y) = planted(), three_classes()
    wrong = x, (y + 1) % 3  # each weight that goes makes this loss another: it may not rise
    e = eliminate(bimt, (x, y), "cross_entropy", max_loss=0.02, press=True, validation=(x[:50], y[:50]))
    assert e.path[-1].validation_loss <= max(0.02, 1.1 * e.path[0].validation_loss)
    guarded = eliminate(planted(), (x, y), "cross_entropy", max_loss=0.02, press=True, validation=wrong)
    assert all(one.validation_loss <= 1.1 * guarded.path[0].validation_loss for one in guarded.path)


def test_down_to_a_number_of_weights():
    e = eliminate(planted(), three_classes(), "cross_entropy", weights=4, press=True, validation=False)
    assert e.ended and e.path[-1].weights <= 4 < e.path[-2].weights and math.isfinite(e.path[-1].loss)


def trained_on_squares():
    model, x = MLP([3, 5, 2], "silu", 0, dtype=F64), numbers(100, 3)
    data, adam = (x, torch.stack([x[:, 0], x[:, 1] * x[:, 2]], 1)), torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        adam.zero_grad()
        nn.functional.mse_loss(model(x), data[1]).backward()
        adam.step()
    return BIMT(model), data


@pytest.mark.parametrize("asked", [15, 2])
def test_a_number_of_weights_is_reached_and_not_passed(asked):
    bimt, data = trained_on_squares()
    e = eliminate(bimt, data, weights=asked, press=True, validation=False)
    assert e.ended and not e.notes and any(one.what == "press" for one in e.path)
    assert asked - 3 <= e.path[-1].weights <= asked  # weights that end nowhere go with the last


def test_what_the_hardest_press_leaves_of_many_weights_is_said(monkeypatch):
    monkeypatch.setattr(stages, "FEW_ENOUGH", 1)
    bimt, data = trained_on_squares()
    e = eliminate(bimt, data, weights=2, press=True, validation=False)
    assert e.ended and e.path[-1].weights > 2 and "2 were asked for" in e.notes[-1]


def test_what_the_cost_is_measured_in_does_not_matter():
    """A mean over a layer is a sum by another factor: of one layer, both press alike."""
    paths = []
    for reduction in ("mean", "sum"):
        bimt = planted()
        bimt = BIMT(bimt.model, bimt.geometry, bimt.wiring, reduction)
        paths.append(
            eliminate(bimt, three_classes(), "cross_entropy", max_loss=0.02, press=True, validation=False).path
        )
    assert [one.weights for one in paths[0]] == [one.weights for one in paths[1]]
    assert [one.loss for one in paths[0]] == pytest.approx([one.loss for one in paths[1]], rel=1e-3)


def test_the_steps_are_those_of_torchs_adam_and_of_the_threshold_one_by_one():
    bimt, (x, y) = planted(bias=0.5), three_classes()
    network = LiveNetwork(bimt, Examples(x, y), CrossEntropy())
    n, prices, floor, rate, steps = len(network.start), 0.1 * numbers(21, seed=4).abs(), 0.3, 0.05, 7
    assert n == 21
    run = pressing._Run(network, Examples(x, y), len(x), torch.Generator().manual_seed(0), lambda: False)

    def then(values, rates, speeds):
        return pressing._shrunk(values, rates, prices / (1 + values.abs() / floor) / speeds)

    found = pressing._adam(run, network.start, torch.full((n,), rate, dtype=F64), steps, then)

    shapes, pays = [p.shape for p in bimt.model.parameters()], iter(prices.tolist())
    assert sum(shape.numel() for shape in shapes) == n
    model = MLP([6, 3], "silu", 0, dtype=F64)
    model.load_state_dict(bimt.model.state_dict())
    owed = [[next(pays) for _ in range(shape.numel())] for shape in shapes]
    adam = torch.optim.Adam(model.parameters(), betas=pressing.BETAS, eps=pressing.EPS)
    for step in range(steps):
        adam.param_groups[0]["lr"] = lr = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        adam.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        adam.step()
        for p, due in zip(model.parameters(), owed, strict=True):
            moment = adam.state[p]["exp_avg_sq"] / (1 - pressing.BETAS[1] ** (step + 1))
            for i, w in enumerate(p.detach().flatten().tolist()):
                root = math.sqrt(float(moment.flatten()[i])) + pressing.EPS
                by = min(lr, lr * due[i] / (1 + abs(w) / floor) / root)
                p.data.flatten()[i] = math.copysign(max(abs(w) - by, 0.0), w)
    expected = torch.cat([p.detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert 0 < int((found == 0).sum()) < n


def test_frozen_weights_stay_and_what_pays_nothing_is_left():
    bimt, data = planted(bias=0.5), three_classes()
    weight, shift = bimt.model.parameters()
    shift.requires_grad_(False)
    before = shift.clone()
    e = eliminate(bimt, data, "cross_entropy", max_loss=0.05, press=True, validation=False)
    assert torch.equal(shift, before) and e.path[-1].weights < 9
    free = BIMT(bimt.model, bimt.geometry, bimt.wiring.distance_free(()), bimt.reduction)
    weight.requires_grad_(False)
    with pytest.raises(InputError, match="frozen"):
        eliminate(free, data, "cross_entropy", press=True)


def test_where_zero_is_the_answer_all_weights_go():
    bimt, x = planted(), numbers(100, 6)
    e = eliminate(bimt, (x, torch.zeros(100, 3, dtype=F64)), max_loss=100.0, press=True, validation=False)
    assert e.ended and e.path[-1].weights < e.path[0].weights / 2


def test_a_loss_that_is_infinite_without_weights_is_pressed_softly_all_the_same():
    def inverse(outputs, targets):
        return 1 / outputs.square().sum(1, keepdim=True)

    bimt, x = planted(bias=0.5), numbers(100, 6)
    bimt.model.layers[0].bias.data.zero_()
    e = eliminate(bimt, (x, x), inverse, loss_factor=10, press=True, validation=False)
    softly = e.path[1].standing.pressure
    assert softly > pressing.HARDER * rounds.FIRST_PRESSURE  # nothing went by the least: an infinite unit takes many


def test_squared_errors_and_tokens():
    model = TokenMLP(4, 3, 2, [5, 1], seed=0, dtype=F64)
    tokens = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    targets = tokens.sum(1, keepdim=True).double() / 4
    e = eliminate(BIMT(model), (tokens, targets), weights=12, press=True, validation=False)
    assert e.ended and e.path[-1].weights <= 12


@pytest.mark.parametrize("more", [{"neurons": 3}, {"whole_neurons": "last"}, {"stay_near": True}])
def test_what_cannot_be_together_is_refused_in_both_places(more):
    with pytest.raises(InputError, match=f"without {next(iter(more))}"):
        eliminate(planted(), three_classes(), "cross_entropy", press=True, **more)
    with pytest.raises(InputError, match=f"without {next(iter(more))}"):
        EliminationConfig(press=True, **more)


def stored(path):
    """A path as a reader of its files has it."""
    return [one._replace(standing=Standing(**one.standing._asdict())) for one in path]


def test_stopped_anywhere_it_goes_on_to_the_same_bits(monkeypatch):
    monkeypatch.setattr(pressing, "STEPS", 20)
    monkeypatch.setattr(pressing, "RATE", 3e-4)  # so that a round takes out a few
    monkeypatch.setattr(pressing, "REFIT_RATE", 1e-3)
    data, press = three_classes(), partial(eliminate, loss="cross_entropy", max_loss=0.02, press=True, validation=False)
    whole = press(planted(), data)
    assert len(whole.path) > 3 and whole.path[-1].standing.pressure != whole.path[1].standing.pressure
    asked = iter(range(10**6))
    within = press(planted(), data, stop=lambda: next(asked) >= 150)  # within a round's steps
    assert 1 < len(within.path) < len(whole.path)
    for path in (whole.path[:1], whole.path[:3], within.path):
        bimt = planted()
        rest = press(bimt, data, path=stored(path))
        assert rest.ended and [one.loss for one in rest.path] == [one.loss for one in whole.path]
        for mine, theirs in zip(rest.path, whole.path, strict=True):
            assert mine.standing == theirs.standing
            assert all(torch.equal(p.to_dense(), theirs.state[n].to_dense()) for n, p in mine.state.items())
    again = planted()
    put_(again, whole.path[-1].state)
    assert all(torch.equal(p, again.parameters[name]) for name, p in bimt.parameters.items())
