import math

import numpy as np
import pytest
import torch

from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.tasks.base import Data
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination import shortening
from bimt_tf.training.elimination.levenberg_marquardt import Normal
from bimt_tf.training.elimination.rounds import put_
from bimt_tf.training.elimination.shortening import Priced, shortest

F64 = torch.float64


class Line:
    """The mean square of A w - b."""

    def __init__(self, matrix, wanted):
        self.A, self.b = matrix, wanted

    def loss(self, values):
        return float((self.A @ values - self.b).square().mean())

    def normal(self, values):
        residuals = self.A @ values - self.b
        return Normal(self.loss(values), self.A.T @ residuals / len(self.b), self.A.T @ self.A / len(self.b))

    def bend(self, values, step):
        return torch.zeros_like(values)


def numbers(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 - 1


def lines(seed):
    matrix = numbers(30, 4, seed=seed)
    return Line(matrix, matrix @ numbers(4, seed=seed + 50) + 0.05 * numbers(30, seed=seed + 90))


@pytest.mark.parametrize("seed", range(4))
def test_no_numbers_of_less_cost_are_allowed(seed):
    problem, lengths = lines(seed), numbers(4, seed=seed + 7).abs() + 0.1
    best = torch.linalg.lstsq(problem.A, problem.b).solution
    most = problem.loss(best) + 0.02
    found = shortest(problem, best, lengths, most)
    assert found is not None and problem.loss(found) <= most

    least = float(lengths.numpy() @ np.abs(by_soft_thresholds(problem, lengths, most)))
    assert least < 0.95 * float(lengths @ best.abs())
    assert float(lengths @ found.abs()) == pytest.approx(least, rel=0.02)


def by_soft_thresholds(problem, lengths, most):
    """The reference: proximal gradient at a price, which is halved in until the loss is the largest allowed."""
    matrix, wanted, d = problem.A.numpy(), problem.b.numpy(), lengths.numpy()
    rate = len(wanted) / (2 * np.linalg.norm(matrix, 2) ** 2)
    low, high, values = 0.0, 10.0, np.zeros(4)
    for _ in range(40):
        price = (low + high) / 2
        for _ in range(300):
            moved = values - rate * 2 * matrix.T @ (matrix @ values - wanted) / len(wanted)
            values = np.sign(moved) * np.maximum(np.abs(moved) - rate * price * d, 0)
        low, high = (price, high) if np.mean((matrix @ values - wanted) ** 2) <= most else (low, price)
    return values


def test_of_two_wires_that_carry_the_same_the_shorter_is_used():
    x = numbers(50)
    problem = Line(torch.stack([x, x], dim=1), x)
    found = shortest(problem, torch.tensor([0.5, 0.5], dtype=F64), torch.tensor([3.0, 1.0], dtype=F64), 1e-4)
    assert abs(float(found[0])) < 1e-2 and 0.9 < float(found[1]) <= 1.01


def test_what_lies_above_the_loss_is_brought_below_it_and_nothing_is_found_where_nothing_is():
    problem = lines(0)
    lengths = torch.ones(4, dtype=F64)
    best = problem.loss(torch.linalg.lstsq(problem.A, problem.b).solution)
    start = 0.01 * torch.ones(4, dtype=F64)
    found = shortest(problem, start, lengths, best + 0.01)
    assert problem.loss(found) <= best + 0.01 < problem.loss(start)
    assert shortest(problem, start, lengths, 0.9 * best) is None
    assert shortest(problem, start, lengths, math.inf) is None
    assert shortest(problem, 0 * start, lengths, 1.0) is None
    assert shortest(problem, start, lengths, best + 0.01, stop=lambda: True) is None


def test_what_is_shortest_already_stays():
    x = numbers(50)
    problem = Line(x[:, None], x)
    lengths = torch.ones(1, dtype=F64)
    most = problem.loss(torch.full((1,), 0.5, dtype=F64))
    assert shortest(problem, torch.full((1,), 0.5, dtype=F64), lengths, most * (1 + 1e-12)) is None


def test_the_picture_of_priced_wires_is_theirs():
    priced = Priced(lines(1), 0.3, numbers(4, seed=3).abs(), 0.05)
    values, eps = numbers(4, seed=4), 1e-6
    normal = priced.normal(values)
    assert normal.loss == pytest.approx(priced.loss(values))
    for i, step in enumerate(eps * torch.eye(4, dtype=F64)):
        slope = (priced.loss(values + step) - priced.loss(values - step)) / (2 * eps)
        assert 2 * float(normal.gradient[i]) == pytest.approx(slope, rel=1e-5)
    for seed in range(20):  # from above: no step does worse than the picture says
        step = numbers(4, seed=seed)
        pictured = normal.loss + float(2 * normal.gradient @ step + step @ normal.curvature @ step)
        assert priced.loss(values + step) <= pictured + 1e-12


def square(n=200, seed=0):
    x = numbers(n, 3, seed=seed)
    return Data(x, torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1), {})


def mlp():
    return BIMT(MLP([3, 6, 2], "silu", 0, dtype=F64), Geometry(width=5.0, layer_gap=0.1))


def test_an_elimination_ends_with_short_wires_within_its_budget_and_keeps_biases():
    bimt, data = mlp(), square()
    e = eliminate(bimt, data, max_loss=1e-3, short_wires=True)
    *before, last = e.path
    assert e.ended and last.what == "wires" and before[-1].what == "weights"
    assert all(one.loss <= 0.3e-3 for one in before if one.what == "weights")
    assert 0.5e-3 < last.loss <= 1e-3 and last.weights <= before[-1].weights < e.path[0].weights
    ends = []
    for one in (before[-1], last):
        put_(bimt, one.state)
        ends.append(bimt.cost().item())
    assert ends[1] < 0.8 * ends[0]
    free = eliminate(mlp(), data, max_loss=1e-3).path[-1]
    # a hidden neuron without wires loses its bias with them; those that are left keep theirs
    assert last.biases == last.neurons["hidden0"] + 2 > free.biases


def test_of_classes_too():
    x = numbers(200, 3)
    data = Data(x, (x[:, 0] > 0).long(), {})
    bimt = mlp()
    e = eliminate(bimt, data, "cross_entropy", max_loss=0.2, short_wires=True)
    put_(bimt, e.path[-2].state)
    before = bimt.cost().item()
    put_(bimt, e.path[-1].state)
    assert e.path[-1].loss <= 0.2 and bimt.cost().item() < before


def test_less_is_spent_where_validation_does_not_allow_all():
    bimt, data = mlp(), square()
    eliminate(bimt, data, max_loss=2e-4, validation=False)
    # what is validated has errors of .02 of its own, so that its loss is higher throughout
    e = eliminate(bimt, data, max_loss=1e-3, short_wires=True, validation=(data.inputs, data.targets + 0.02))
    assert e.path[0].validation_loss < 0.9e-3 and e.path[-1].what == "wires"
    assert 0.7e-3 < e.path[-1].validation_loss <= 1e-3 and e.path[-1].loss < 0.7e-3


def test_of_too_many_weights_it_is_said_that_wires_stay(monkeypatch):
    monkeypatch.setattr(shortening, "FEW_ENOUGH", 5)
    e = eliminate(mlp(), square(), max_loss=1e-3, short_wires=True)
    assert e.ended and e.path[-1].what == "weights" and shortening.TOO_MANY in e.notes


def test_a_stopped_one_goes_on_to_the_same_bits():
    data = square(100)
    whole = eliminate(mlp(), data, max_loss=1e-2, short_wires=True)
    assert len(whole.path) > 3
    for at in (1, 2, len(whole.path) - 1, len(whole.path)):  # before and behind the refit, the removals, the wires
        seen = []

        def stop(at=at, seen=seen):
            return len(seen) >= at

        part = eliminate(mlp(), data, max_loss=1e-2, short_wires=True, on_round=seen.append, stop=stop)
        assert not part.ended and len(part.path) == at
        rest = eliminate(mlp(), data, max_loss=1e-2, short_wires=True, path=part.path)
        assert rest.ended and [one.loss for one in rest.path] == [one.loss for one in whole.path]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"weights": 5}, "give max_loss or loss_factor as the budget"),
        ({"neurons": 2}, "without neurons"),
        ({"max_loss": 0.1, "whole_neurons": "last"}, "without whole_neurons"),
        ({"max_loss": 0.1, "stay_near": True}, "without stay_near"),
    ],
)
def test_what_cannot_be_together_is_refused(more, said):
    with pytest.raises(InputError, match=said):
        eliminate(mlp(), square(), short_wires=True, **more)
