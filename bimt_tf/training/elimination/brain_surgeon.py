"""Optimal brain surgeon: which weights go, and how the others make up for it (Hassibi and Stork, 1993).

At the least loss with curvature H, taking out the set Q of weights costs at least

    w_Q . ([H^-1]_QQ)^-1 w_Q,    when the others move by    -[H^-1]_:Q ([H^-1]_QQ)^-1 w_Q

For one weight q this is w_q^2 / [H^-1]_qq. Weights are chosen one after the other, each time the one that then costs
least, and the correction is made once, for the whole set.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Dense", "Inverse", "choose", "correct", "cost_of", "without_smallest"]


class Inverse(Protocol):
    """H^-1 of n weights, in whatever form."""

    def diagonal(self) -> Float[Tensor, " n"]:
        """Its diagonal."""

    def columns(self, chosen: Int64[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """Some of its columns."""


class Dense(NamedTuple):
    """H^-1 as it is."""

    matrix: Float[Tensor, "n n"]

    def diagonal(self) -> Float[Tensor, " n"]:
        """Its diagonal."""
        return self.matrix.diagonal()

    def columns(self, chosen: Int64[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """Some of its columns."""
        return self.matrix[:, chosen]


def choose(
    values: Float[Tensor, " n"],
    inverse: Inverse,
    count: int,
    lengths: Float[Tensor, " n"],
    at_once: int = 1,
) -> Int64[Tensor, " count"]:
    """The weights to take out, in the order of their choice; fewer than ``count`` where H is singular.

    Args:
        values: the weights.
        inverse: H^-1.
        count: how many are to go.
        lengths: what each weight's cost is divided by; of two that cost the same, the longer wire goes first, and one
            of length 0 stays.
        at_once: so many are chosen as if the others of them stayed, which is faster where many go.

    What removals do to H^-1 is kept as rows of its Cholesky factor, so that no n x n matrix is written to: a removal
    reads one column of H^-1 and the rows before it.
    """
    left, spread = values.clone(), inverse.diagonal().clone()
    rows, taken = values.new_zeros(min(count, len(values)), len(values)), 0
    chosen = torch.zeros(len(rows), dtype=torch.int64, device=values.device)
    gone = torch.zeros_like(left, dtype=torch.bool)
    while taken < len(rows):
        cost = (left.square() / spread / lengths).masked_fill(gone | ~(spread > 0) | (lengths == 0), torch.inf)
        least = cost.topk(min(at_once, len(rows) - taken), largest=False)
        block = least.indices[least.values < torch.inf]
        columns = inverse.columns(block) - rows[:taken].mT @ rows[:taken, block]
        factor, failed = torch.linalg.cholesky_ex(columns[block])
        if not len(block) or int(failed):
            break
        more = torch.linalg.solve_triangular(factor, columns.mT, upper=False)
        left = left - more.mT @ torch.linalg.solve_triangular(factor, left[block, None], upper=False)[:, 0]
        spread = spread - more.square().sum(0)
        rows[taken : taken + len(block)], chosen[taken : taken + len(block)] = more, block
        gone[block], taken = True, taken + len(block)
    return chosen[:taken]


def without_smallest(values: Float[Tensor, " n"], count: int, lengths: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """``values`` without the ``count`` smallest, for curvature that is no number; those of length 0 stay."""
    sizes = values.abs().masked_fill(lengths == 0, torch.inf)
    return values.index_fill(0, sizes.argsort()[: min(count, int(lengths.count_nonzero()))], 0)


def correct(values: Float[Tensor, " n"], inverse: Inverse, removed: Int64[Tensor, " k"]) -> Float[Tensor, " n"] | None:
    """The weights without the ``removed`` ones, which are zero; None where the block cannot be solved for."""
    columns = inverse.columns(removed)
    solved = _solve(values, columns, removed)
    if solved is None:
        return None
    return (values - columns @ solved).index_fill(0, removed, 0)


def cost_of(values: Float[Tensor, " n"], inverse: Inverse, removed: Int64[Tensor, " k"]) -> float:
    """By how much the loss rises at least without the ``removed`` weights; infinite where that cannot be told."""
    solved = _solve(values, inverse.columns(removed), removed)
    return float("inf") if solved is None else float(values[removed] @ solved)


def _solve(values: Tensor, columns: Tensor, removed: Tensor) -> Tensor | None:
    factor, failed = torch.linalg.cholesky_ex(columns[removed])
    if int(failed):
        return None
    solved = torch.cholesky_solve(values[removed, None], factor)[:, 0]
    return solved if bool(solved.isfinite().all()) else None
