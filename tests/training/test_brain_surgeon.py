"""Optimal brain surgeon and the two forms of the inverse curvature, against brute force."""

import math

import pytest
import torch

from bimt_tf.training.elimination.brain_surgeon import Dense, choose, correct, cost_of
from bimt_tf.training.elimination.low_rank import low_rank

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def tensor(*values):
    return torch.tensor(values, dtype=F64)


class Linear:
    """r(w) = A w - b, whose least squares over any columns are known."""

    def __init__(self, seed, rows=40, n=8):
        self.A, self.b = numbers(rows, n, seed=seed), numbers(rows, seed=seed + 1)

    def loss(self, values):
        return float((self.A @ values - self.b).square().mean())

    def best(self, columns):
        values = torch.zeros(self.A.shape[1], dtype=F64)
        values[columns] = torch.linalg.lstsq(self.A[:, columns], self.b).solution
        return values

    def inverse(self):
        return Dense(torch.linalg.inv(self.A.T @ self.A / len(self.b)))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_exact_for_a_linear_model(seed):
    problem = Linear(10 * seed)
    values, inverse, ones = problem.best(list(range(8))), problem.inverse(), torch.ones(8, dtype=F64)
    removed = choose(values, inverse, 3, ones)
    rest, chosen = list(range(8)), []
    for _ in range(3):  # the greedy choice with a refit after each removal
        q = min(rest, key=lambda q: problem.loss(problem.best([i for i in rest if i != q])))
        rest.remove(q)
        chosen.append(q)
    assert removed.tolist() == chosen
    corrected = correct(values, inverse, removed)
    torch.testing.assert_close(corrected, problem.best(rest), rtol=1e-8, atol=1e-9)
    rise = problem.loss(corrected) - problem.loss(values)
    assert cost_of(values, inverse, removed) == pytest.approx(rise, rel=1e-6)


def test_a_block_is_chosen_as_if_the_others_of_it_stayed():
    problem = Linear(3)
    values, inverse, ones = problem.best(list(range(8))), problem.inverse(), torch.ones(8, dtype=F64)
    alone = [cost_of(values, inverse, torch.tensor([q])) for q in range(8)]
    found = choose(values, inverse, 4, ones, at_once=2).tolist()
    assert set(found[:2]) == set(sorted(range(8), key=alone.__getitem__)[:2])
    rest = [q for q in range(8) if q not in found[:2]]
    later = choose(problem.best(rest)[rest], Dense(torch.linalg.inv(problem.A[:, rest].T @ problem.A[:, rest] / 40)), 2,
                   torch.ones(6, dtype=F64), at_once=2)  # fmt: skip
    assert {rest[i] for i in later.tolist()} == set(found[2:])


def test_of_two_equal_weights_the_longer_wire_goes():
    values, inverse = tensor(1.0, 1.0, 3.0), Dense(torch.eye(3, dtype=F64))
    assert choose(values, inverse, 1, tensor(0.5, 1.0, 1.0)).tolist() == [1]
    assert choose(values, inverse, 1, tensor(1.0, 0.5, 1.0)).tolist() == [0]
    assert set(choose(values, inverse, 3, tensor(1.0, 0.0, 1.0)).tolist()) == {0, 2}  # one without a length stays


def test_what_cannot_be_solved_for_is_said():
    values, inverse = torch.ones(2, dtype=F64), Dense(torch.zeros(2, 2, dtype=F64))
    assert correct(values, inverse, torch.tensor([0])) is None
    assert cost_of(values, inverse, torch.tensor([0])) == math.inf
    assert choose(values, inverse, 1, values).tolist() == []


@pytest.mark.parametrize(("m", "n"), [(5, 12), (12, 5)])
def test_the_low_rank_form_is_the_inverse(m, n):
    jacobian, ridge = numbers(m, n), numbers(n, seed=1).square() + 0.1
    inverse = low_rank(jacobian, ridge)
    plain = torch.linalg.inv(jacobian.T @ jacobian + ridge.diag())
    torch.testing.assert_close(inverse.diagonal(), plain.diagonal())
    torch.testing.assert_close(inverse.columns(torch.tensor([3, 1])), plain[:, [3, 1]])
    torch.testing.assert_close(inverse.times(numbers(n, seed=2)), plain @ numbers(n, seed=2))
    values, ones = numbers(n, seed=4), torch.ones(n, dtype=F64)
    assert choose(values, inverse, 3, ones).tolist() == choose(values, Dense(plain), 3, ones).tolist()


def test_a_low_rank_form_of_numbers_that_are_not_finite():
    assert low_rank(numbers(3, 4) * math.nan, torch.ones(4, dtype=F64)) is None
