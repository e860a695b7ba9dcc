"""Optimal brain surgeon: which weights go, and how the others make up for it (Hassibi and Stork, 1993).

At the least loss with curvature H, taking out the set Q of weights costs at least

    w_Q . ([H^-1]_QQ)^-1 w_Q,    when the others move by    -[H^-1]_:Q ([H^-1]_QQ)^-1 w_Q

For one weight q this is w_q^2 / [H^-1]_qq. Weights are chosen one after the other, each time the one that then costs
least, and the correction is made once, for the whole set.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["choose", "correct", "cost_of"]

CANDIDATES, AT_LEAST = 3, 64
"""Weights are looked for among those that cost least alone: so many times the number to go, at least so many."""


def choose(
    values: Float[Tensor, " n"],
    inverse: Float[Tensor, "n n"],
    count: int,
    lengths: Float[Tensor, " n"],
) -> Int64[Tensor, " count"]:
    """The weights to take out, in the order of their choice.

    Args:
        values: the weights.
        inverse: H^-1.
        count: how many are to go.
        lengths: what each weight's cost is divided by; of two that cost the same, the longer wire goes first.
    """
    alone = values.square() / inverse.diagonal() / lengths
    candidates = alone.argsort()[: max(CANDIDATES * count, AT_LEAST)]
    rest, left, longer = inverse[candidates][:, candidates], values[candidates], lengths[candidates]
    gone = torch.zeros_like(left, dtype=torch.bool)
    chosen = []
    for _ in range(min(count, len(candidates))):
        cost = (left.square() / rest.diagonal() / longer).masked_fill(gone | (rest.diagonal() <= 0), torch.inf)
        q = int(cost.argmin())
        column = rest[:, q] / rest[q, q]
        left = left - column * left[q]
        rest = torch.addr(rest, column, rest[q], alpha=-1)
        gone[q] = True
        chosen.append(q)
    return candidates[torch.tensor(chosen, dtype=torch.int64, device=values.device)]


def correct(
    values: Float[Tensor, " n"], inverse: Float[Tensor, "n n"], removed: Int64[Tensor, " k"]
) -> Float[Tensor, " n"] | None:
    """The weights without the ``removed`` ones, which are zero; None where the block cannot be solved for."""
    solved = _solve(values, inverse, removed)
    if solved is None:
        return None
    return (values - inverse[:, removed] @ solved).index_fill(0, removed, 0)


def cost_of(values: Float[Tensor, " n"], inverse: Float[Tensor, "n n"], removed: Int64[Tensor, " k"]) -> float:
    """By how much the loss rises at least without the ``removed`` weights; infinite where that cannot be told."""
    solved = _solve(values, inverse, removed)
    return float("inf") if solved is None else float(values[removed] @ solved)


def _solve(values: Tensor, inverse: Tensor, removed: Tensor) -> Tensor | None:
    factor, failed = torch.linalg.cholesky_ex(inverse[removed][:, removed])
    if int(failed):
        return None
    solved = torch.cholesky_solve(values[removed, None], factor)[:, 0]
    return solved if bool(solved.isfinite().all()) else None
