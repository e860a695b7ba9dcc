"""Levenberg-Marquardt: least squares by Gauss-Newton steps whose damping follows what they gain (Marquardt, 1963).

The loss is L(w) = mean of r(w)^2. Near w, with the Jacobian J of the m residuals r,

    L(w + s)  =  L + 2 g.s + s.H s,      g = J'r / m,      H = J'J / m

A step solves (H + mu diag(H)) s = -g. How the residuals bend along it adds half an acceleration,
(H + mu diag(H)) a = -J'r''(s, s) / m, which follows a narrow curved valley much further (Transtrum and Sethna, 2012).
A step that lowers the loss is taken, and mu falls as far as the quadratic picture was right; one that does not is tried
again with a larger mu (Nielsen, 1999).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Fit", "LeastSquares", "Normal", "Pulled", "damped", "levenberg_marquardt", "steps_for"]

RISE, LARGEST_FALL = 2.0, 10.0
"""mu rises by this factor, which doubles with each failure; after a step it falls by at most the second."""

BENT = 0.75
"""The largest acceleration that is trusted: twice its length as a share of the step's."""

LEAST, MOST = 1e-14, 1e12
FEW_STEPS, CHEAP_STEPS = 12, 2_000
FLOOR = 1e-10
"""What stands in the diagonal of H at least, as a share of its largest entry: some weights do nothing."""


class Normal(NamedTuple):
    """The loss at a point, and its quadratic picture there: g [n] and H [n, n] of the module's text."""

    loss: float
    gradient: Float[Tensor, " n"]
    curvature: Float[Tensor, "n n"]


class LeastSquares(Protocol):
    """A loss of n numbers: a mean of squared residuals, or what has a curvature of that form."""

    def loss(self, values: Float[Tensor, " n"]) -> float:
        """The loss."""

    def normal(self, values: Float[Tensor, " n"]) -> Normal:
        """The loss with its quadratic picture."""

    def bend(self, values: Float[Tensor, " n"], step: Float[Tensor, " n"]) -> Float[Tensor, " n"] | None:
        """J'r''(step, step) / m: the second derivative of the residuals along ``step``, through the Jacobian.

        None where the loss has no residuals: steps are then straight.
        """


class Pulled(NamedTuple):
    """Least squares with all numbers pulled back: the loss and ``pull`` times the squared distance from ``home``.

    Where many numbers fit equally well, it keeps them near and from growing without end.
    """

    problem: LeastSquares
    pull: float
    home: Float[Tensor, " n"]

    def loss(self, values: Float[Tensor, " n"]) -> float:
        """The loss and the pull."""
        moved = values - self.home
        return self.problem.loss(values) + self.pull * float(moved @ moved)

    def normal(self, values: Float[Tensor, " n"]) -> Normal:
        """The quadratic picture of both."""
        loss, gradient, curvature = self.problem.normal(values)
        moved = values - self.home
        pulled = curvature.diagonal_scatter(curvature.diagonal() + self.pull)
        return Normal(loss + self.pull * float(moved @ moved), gradient + self.pull * moved, pulled)

    def bend(self, values: Float[Tensor, " n"], step: Float[Tensor, " n"]) -> Float[Tensor, " n"] | None:
        """That of the residuals; the pull's are straight."""
        return self.problem.bend(values, step)


class Fit(NamedTuple):
    """Where a fit ended: the numbers [n], the loss there, the steps taken, and mu for the next one."""

    values: Float[Tensor, " n"]
    loss: float
    steps: int
    damping: float


def levenberg_marquardt(
    problem: LeastSquares,
    start: Float[Tensor, " n"],
    *,
    steps: int,
    damping: float = 1e-3,
    tolerance: float = 1e-3,
    goal: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
) -> Fit:
    """Lower the loss from ``start``, step by step; it never rises.

    Args:
        problem: what is fitted.
        start: where to begin.
        steps: at most so many steps.
        damping: mu of the first step.
        tolerance: end at a step that lowers the loss by less than this share of it.
        goal: end at a loss of at most this.
        stop: asked before each step; True ends the fit where it is.

    A loss that is not finite counts as no gain. If it is not finite at ``start``, that is what comes back.
    """
    values, loss, taken = start, problem.loss(start), 0
    while len(start) and taken < steps and goal < loss < float("inf") and not stop():
        normal = problem.normal(values)
        found = _step(problem, values, loss, normal, damping)
        if found is None:
            break
        gain, taken = (loss - found.loss) / loss, taken + 1
        values, loss, damping = found.values, found.loss, found.damping
        if gain < tolerance:
            break
    return Fit(values, loss, taken, damping)


def steps_for(n: int) -> int:
    """How many steps a refit of n numbers may take: many where they are cheap, for their cost grows with n^3."""
    return FEW_STEPS + CHEAP_STEPS // max(1, n)


def damped(curvature: Float[Tensor, "n n"], damping: float) -> Float[Tensor, "n n"] | None:
    """The Cholesky factor of H + damping diag(H); None where the matrix is singular or not finite."""
    diagonal = curvature.diagonal()
    raised = diagonal + damping * diagonal.clamp_min(FLOOR * float(diagonal.max()) if len(diagonal) else 0.0)
    factor, failed = torch.linalg.cholesky_ex(curvature.diagonal_scatter(raised))
    return None if int(failed) or not bool(factor.isfinite().all()) else factor


def _step(problem: LeastSquares, values: Tensor, loss: float, normal: Normal, damping: float) -> Fit | None:
    """The first step that lowers the loss, with more and more damping; None if none does."""
    rise = RISE
    while damping <= MOST:
        factor = damped(normal.curvature, damping)
        if factor is not None:
            step = torch.cholesky_solve(-normal.gradient[:, None], factor)[:, 0]
            if not float(step.abs().max()) > 1e-15 * float(values.abs().max()):
                return None
            trials = [values + step]
            bent = problem.bend(values, step)
            bend = None if bent is None else torch.cholesky_solve(bent[:, None], factor)[:, 0]
            if bend is not None and float(bend.norm()) <= BENT * float(step.norm()):  # False for what is no number
                trials.append(trials[0] - bend / 2)
            losses = [problem.loss(trial) for trial in trials]
            best = min(range(len(trials)), key=lambda i: losses[i] if math.isfinite(losses[i]) else math.inf)
            if losses[best] < loss:
                expected = -float(step @ (2 * normal.gradient + normal.curvature @ step))
                right = (loss - losses[best]) / expected if expected > 0 else 0.0
                fall = max(1 / LARGEST_FALL, 1 - (2 * min(right, 1.0) - 1) ** 3)
                return Fit(trials[best], losses[best], 1, max(fall * damping, LEAST))
        damping, rise = damping * rise, 2 * rise
    return None
