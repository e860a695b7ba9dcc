"""Linear assignment against SciPy's: as good on every kind of table, whatever the prices, and never below the bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from bimt_tf.core.linear_assignment import WIDE, Prices, assign, lower_bound

KINDS = ("dense", "heavy tails", "dead rows", "ties", "one strong row", "constant", "tiny", "sparse", "nearly dead",
         "mostly dead rows")  # fmt: skip


def table(kind: str, n: int, neighbours: int = 20) -> np.ndarray:
    """The placement cost of n neurons on a line, joined to some others on it."""
    rng = np.random.default_rng(n)
    position = (np.arange(n) + 0.5) / n
    weights = np.abs(rng.normal(size=(n, neighbours)))
    if kind == "heavy tails":
        weights **= 6
    elif kind == "dead rows":
        weights[rng.random(n) < 0.3] = 0
    elif kind == "mostly dead rows":
        weights[rng.random(n) < 0.8] = 0
    elif kind == "nearly dead":
        weights[rng.random(n) < 0.9] *= 1e-9
    elif kind == "ties":
        weights = np.ceil(weights)
        weights[n // 2 :] = weights[: n - n // 2]
    elif kind == "one strong row":
        weights[3] *= 1e9
    elif kind == "constant":
        weights[:] = 1
    elif kind == "tiny":
        weights *= 1e-300
    elif kind == "sparse":
        weights[rng.random(weights.shape) < 0.9] = 0
    return weights @ np.abs(position[None, :] - rng.random((neighbours, 1)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [64, 100, WIDE, 512])
def test_the_assignment_at_prices_is_exact(kind, n):
    cost = table(kind, n)
    columns = assign(cost)
    assert sorted(columns) == list(range(n))
    rows, best = linear_sum_assignment(cost)
    assert cost[rows, columns].sum() == pytest.approx(cost[rows, best].sum(), rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [8, 16, 40, 128, WIDE])
def test_at_the_prices_of_another_problem_it_is_exact_too(kind, n):
    prices, cost = Prices(), table(kind, n)
    for other in (cost, cost[::-1], cost[:, ::-1], np.roll(cost, n // 3, axis=1)):
        columns = assign(other, prices)
        assert sorted(columns) == list(range(n))
        rows, best = linear_sum_assignment(other)
        assert other[rows, columns].sum() == pytest.approx(other[rows, best].sum(), rel=1e-13)


@pytest.mark.parametrize(("n", "kept"), [(8, False), (16, True), (128, True), (WIDE, False)])
def test_prices_are_kept_where_they_serve(n, kept):
    prices = Prices()
    assign(table("dense", n), prices)
    assert (prices.found is not None) is kept


@pytest.mark.parametrize("kind", ["dense", "sparse", "dead rows"])
def test_prices_from_a_coarser_problem_leave_the_assignment_exact(kind, monkeypatch):
    monkeypatch.setattr("bimt_tf.core.linear_assignment.WIDE", 64)
    cost = table(kind, 301)  # coarser once: 76 rows are wide, and too few for another time
    columns = assign(cost)
    rows, best = linear_sum_assignment(cost)
    assert sorted(columns) == list(range(301))
    assert cost[rows, columns].sum() == pytest.approx(cost[rows, best].sum(), rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lower_bound_is_one_and_close(kind):
    cost = table(kind, 400)
    rows, best = linear_sum_assignment(cost)
    exact, random = cost[rows, best].sum(), cost[rows, np.random.default_rng(0).permutation(400)].sum()
    bound = lower_bound(cost)
    assert bound <= exact * (1 + 1e-12)
    assert bound >= 0.99 * exact
    if kind in ("dense", "sparse", "dead rows"):  # close beside what there is to gain, too
        assert exact - bound < 0.01 * (random - exact)


def test_the_assignment_is_deterministic():
    cost = table("ties", 512)
    assert np.array_equal(assign(cost), assign(cost.copy()))
