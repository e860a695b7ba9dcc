"""Linear assignment, exact at any size: rows to columns at the least sum (the placement of one population).

SciPy's shortest augmenting paths find the optimum. A constant added to a column leaves the optimum as it is, but at
good prices most rows find their column free, and the paths are short. So large problems are solved at the prices of
the entropy-smoothed problem (Sinkhorn), and of wide ones these are sharpened in stages, from a coarser problem on.
Prices of one problem serve the next that is much like it (:class:`Prices`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

__all__ = ["Prices", "assign", "lower_bound"]

PRICED = 64  # from so many rows on, prices pay for themselves
SHARPNESS, ROUNDS = 80.0, 8  # of the prices; they change the time of the solution, never the solution
SERVING = 16  # from so many rows on, they do where they serve several problems; few rounds are enough for few rows:
SOFTNESS, FEW = 50.0, 3
WIDE = 256  # from so many rows on, several stages of prices pay for themselves
STAGES = ((30.0, 10), (120.0, 10), (500.0, 10), (2000.0, 15), (8000.0, 15))  # (sharpness, rounds) of a wide problem
REFINED, COARSENING = 3, 4  # the last stages of a problem whose first ones were those of every fourth row and column
TINY = np.float32(1e-30)

Solver = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Prices:
    """Column prices found for one problem, for others of the same size that are much like it.

    The placements of a population from sweep to sweep are: a search finds prices once. None are kept of wide problems,
    which take long at prices that are a little off, nor where rows are indifferent, which have a price of their own.
    """

    def __init__(self) -> None:
        self.found: np.ndarray | None = None


def assign(cost: np.ndarray, prices: Prices | None = None) -> np.ndarray:
    """Row -> column of the exact solution of a linear assignment [n, n].

    Indifferent rows (dead neurons) come last and find as many columns at one price.

    Args:
        cost: what each row costs in each column.
        prices: those of an earlier problem, or nothing yet. They change the time of a solution alone, and which it is
            where several cost the same.
    """
    solve = _solver()
    if len(cost) < (PRICED if prices is None else SERVING):
        return solve(cost)[1]
    if prices is not None and prices.found is not None:
        return solve(cost + prices.found)[1]
    rows = np.arange(len(cost))
    least = cost[rows, cost.argmin(axis=1)]  # in a third of the time that min takes
    spread = cost[rows, cost.argmax(axis=1)] - least
    indifferent = len(cost) - np.count_nonzero(spread)
    if 2 * indifferent > len(cost):
        return _few(cost, np.flatnonzero(spread))
    regret = cost - least[:, None]
    price = _staged_prices(regret) if len(cost) >= WIDE else _prices(regret, spread.max())
    if indifferent:
        price = np.maximum(price, np.sort(price)[indifferent - 1])
    elif prices is not None and len(cost) < WIDE:
        prices.found = price
    regret += price
    if not indifferent and len(cost) < WIDE:
        return solve(regret)[1]
    order = np.argsort(-spread, kind="stable")
    columns = np.empty(len(cost), dtype=np.int64)
    columns[order] = solve(regret[order])[1]
    return columns


@cache
def _solver() -> Solver:
    """SciPy's, loaded when it is needed: that takes a second, which opening a run need not wait for."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


def _few(cost: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The assignment where few rows are not indifferent: these choose, and the others take what is left, in order."""
    columns = np.empty(len(cost), dtype=np.int64)
    columns[rows] = _solver()(cost[rows])[1]
    others = np.ones(len(cost), dtype=bool)
    others[rows] = False
    left = np.ones(len(cost), dtype=bool)
    left[columns[rows]] = False
    columns[others] = np.flatnonzero(left)
    return columns


def lower_bound(cost: np.ndarray) -> float:
    """No assignment of [n, n] costs less: at prices, every row takes its best column, and the prices are paid back."""
    price = _staged_prices(cost)
    return float((cost + price).min(axis=1).sum() - price.sum())


def _prices(regret: np.ndarray, spread: float) -> np.ndarray:
    """Column prices of the smoothed problem; ``spread`` is the largest regret. Of many rows in half the precision."""
    many = len(regret) >= PRICED
    sharpness, rounds = (SHARPNESS, ROUNDS) if many else (SOFTNESS, FEW)
    kernel = (regret / (-spread / sharpness)).astype(np.float32 if many else np.float64, copy=False)
    np.exp(kernel, out=kernel)
    worth, taken = np.ones((2, len(regret)), dtype=kernel.dtype)
    for _ in range(rounds):
        np.maximum(np.dot(kernel, worth, out=taken), TINY, out=taken)
        np.reciprocal(taken, out=taken)
        np.maximum(np.dot(taken, kernel, out=worth), TINY, out=worth)
        np.reciprocal(worth, out=worth)
    return -np.log(worth, dtype=np.float64) * (spread / sharpness)


def _staged_prices(cost: np.ndarray, stages: int = len(STAGES)) -> np.ndarray:
    """Column prices of a wide problem: smoothed problems, each sharper and at the prices of the one before.

    They start from the columns' means, which say nothing about rows, or from a coarser problem's prices: neighbouring
    slots are worth much the same.
    """
    n = len(cost)
    start = -cost.mean(axis=0)
    if n >= WIDE * COARSENING:
        coarse = np.arange(0, n, COARSENING)
        start = np.interp(np.arange(n), coarse, _staged_prices(cost[np.ix_(coarse, coarse)], stages))
        stages = REFINED
    regret = cost + start
    regret -= regret.min(axis=1, keepdims=True)
    scale = regret.max()
    if not scale > 0:
        return start
    regret /= scale
    flat = regret.astype(np.float32)  # half the memory to run through, and exact enough for prices
    del regret
    price = np.zeros(n, dtype=np.float32)
    kernel = np.empty_like(flat)
    for sharpness, rounds in STAGES[-stages:]:
        np.add(flat, price, out=kernel)
        kernel -= kernel.min(axis=1, keepdims=True)
        kernel *= -sharpness
        np.exp(kernel, out=kernel)
        worth = np.ones(n, dtype=np.float32)
        for _ in range(rounds):
            rows = np.maximum(kernel @ worth, TINY)
            worth = 1 / np.maximum((1 / rows) @ kernel, TINY)
        price -= np.log(worth) / np.float32(sharpness)
    return start + price.astype(np.float64) * scale
