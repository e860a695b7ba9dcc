"""The last stage of a search for short wires: the network of least connection cost that the budget allows.

With the lengths d of the live weights w, biases among them,

    minimise  C(w) = sum of d_i |w_i|     where  L(w) <= the budget's loss

Its solution is that of training's own objective, L + price C, at the largest price that the budget allows. A refit
lowers L alone and lets long wires grow for the last digits of it, which a low Q shows; this spends the budget on the
wires instead. For each price Levenberg-Marquardt minimises the sum with |w| made blunt, sqrt(w^2 + blunt^2), of whose
bend it takes no more than w^2 / 2 sqrt(..) has, as iteratively reweighted least squares do (Daubechies et al., 2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, cast

from jaxtyping import Float
from torch import Tensor

from bimt_tf.training.elimination.levenberg_marquardt import LeastSquares, Normal, levenberg_marquardt
from bimt_tf.training.elimination.search import Search

__all__ = ["FEW_ENOUGH", "TOO_MANY", "Priced", "shorten", "shortest"]

FEW_ENOUGH = 600
"""Of more live weights, whose steps take long, wires stay as they are, which the result says."""

TOO_MANY = f"wires were not shortened: more than {FEW_ENOUGH} weights were left, of which that takes too long"

FIRST = (1.0, 30.0, 3000.0)
"""The first price makes the cost so many times the budget's loss. A large one presses the network out of shape before
it falls, which ends with shorter wires or with none at all; so each is tried, and the least cost is kept."""

FACTOR, HALVINGS, MOST_PRICES = 3.0, 6, 30
"""By the factor the price rises or falls until the budget lies between two prices, whose ratio is halved so many times
in its logarithm."""

STEPS, TOLERANCE = 40, 1e-4
"""Of Levenberg-Marquardt at each price."""

BLUNT = 1e-3
"""How blunt |w| is, as a share of the root mean square of the weights."""

SPENT = (0.98, 0.5, 0.25, 0.12)
"""Shares of the budget's loss that may be spent, the next where the validation loss does not allow the one before. The
loss of the written weights may differ in its last digits, so none is the whole."""


class Priced(NamedTuple):
    """Least squares with priced wires: the loss, and ``price`` times the sum of lengths sqrt(w^2 + blunt^2)."""

    problem: LeastSquares
    price: float
    lengths: Float[Tensor, " n"]
    blunt: float

    def loss(self, values: Float[Tensor, " n"]) -> float:
        """The loss and the wires' price."""
        return self.problem.loss(values) + self.price * float(self.lengths @ self._sizes(values))

    def normal(self, values: Float[Tensor, " n"]) -> Normal:
        """The quadratic picture of both, that of the price from above."""
        loss, gradient, curvature = self.problem.normal(values)
        sizes = self._sizes(values)
        bend = self.price * self.lengths / (2 * sizes)
        priced = curvature.diagonal_scatter(curvature.diagonal() + bend)
        return Normal(loss + self.price * float(self.lengths @ sizes), gradient + bend * values, priced)

    def bend(self, values: Float[Tensor, " n"], step: Float[Tensor, " n"]) -> Float[Tensor, " n"] | None:
        """That of the residuals alone."""
        return self.problem.bend(values, step)

    def _sizes(self, values: Tensor) -> Tensor:
        return (values.square() + self.blunt**2).sqrt()


def shortest(
    problem: LeastSquares,
    start: Float[Tensor, " n"],
    lengths: Float[Tensor, " n"],
    most: float,
    stop: Callable[[], bool] = lambda: False,
) -> Float[Tensor, " n"] | None:
    """Numbers of the least C found, of the module's text, whose loss is at most ``most``.

    None where none were found, or none of less C than ``start``, if that has such a loss already.

    Args:
        problem: the loss.
        start: where to begin.
        lengths: d, at least 0.
        most: the largest loss, above 0.
        stop: asked before each step; True ends it with None.
    """

    def cost(values: Tensor) -> float:
        return float(lengths @ values.abs())

    if not (cost(start) > 0 and math.isfinite(most)):
        return None
    blunt = BLUNT * float(start.square().mean().sqrt())

    def fit(price: float, values: Tensor) -> Tensor:
        priced = Priced(problem, price, lengths, blunt)
        return levenberg_marquardt(priced, values, steps=STEPS, tolerance=TOLERANCE, stop=stop).values

    found = [_at_largest_price(fit, problem, start, first * most / cost(start), most) for first in FIRST]
    allowed = [values for values in (start, *found) if values is not None and problem.loss(values) <= most]
    if stop() or not allowed:
        return None
    best = min(allowed, key=cost)
    return None if best is start else best


def _at_largest_price(
    fit: Callable[[float, Tensor], Tensor], problem: LeastSquares, start: Tensor, price: float, most: float
) -> Tensor | None:
    """What ``fit`` gives at the largest price with a loss of at most ``most``, from a first price on; None if none."""
    good, values = None, start
    low, high = 0.0, math.inf
    for _ in range(MOST_PRICES):
        values = fit(price, values)
        if problem.loss(values) <= most:
            good, low = values, price
        else:
            high = price
        if low and high < math.inf:
            break
        price = price * FACTOR if low else price / FACTOR
    for _ in range(HALVINGS if good is not None and high < math.inf else 0):
        middle = math.sqrt(low * high)
        values = fit(middle, cast(Tensor, good))
        good, low, high = (values, middle, high) if problem.loss(values) <= most else (good, low, middle)
    return good


def shorten(search: Search) -> None:
    """Keep the network of the shortest wires that the budget allows as a round, if there is one."""
    if search.now.standing.stage == search.stage:  # it was kept before a stop
        return
    if search.live > FEW_ENOUGH:
        search.note(TOO_MANY)
        return
    network = search.network()
    lengths = network.gather(search.wire_lengths)
    for share in SPENT:
        found = shortest(network, network.start, lengths, share * search.budget.loss, search.stop)
        if found is None or search.attempt("wires", network, found, steps=0, tolerance=TOLERANCE, goal=0.0):
            return
