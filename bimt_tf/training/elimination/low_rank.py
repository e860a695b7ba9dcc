"""The inverse of a curvature of fewer residuals than weights, without any n x n matrix.

With J [m, n] and a positive diagonal R (damping, pull),

    H = J'J + R,      H^-1 = R^-1/2 (I - B'B) R^-1/2,      B = C^-1 J R^-1/2,      C C' = I + J R^-1 J'

by Woodbury's identity. This takes m^2 n operations where a Cholesky factor of H takes n^3 / 3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["LowRank", "low_rank"]


class LowRank(NamedTuple):
    """H^-1 of the module's text: B as ``half``, R^-1/2 as ``scale``."""

    half: Float[Tensor, "m n"]
    scale: Float[Tensor, " n"]

    def diagonal(self) -> Float[Tensor, " n"]:
        """The diagonal of H^-1."""
        return self.scale.square() * (1 - self.half.square().sum(0))

    def columns(self, chosen: Int64[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """Some columns of H^-1."""
        columns = -(self.half.mT @ self.half[:, chosen])
        columns[chosen, torch.arange(len(chosen), device=chosen.device)] += 1
        return self.scale[:, None] * columns * self.scale[chosen]

    def times(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """H^-1 times a vector."""
        scaled = self.scale * vector
        return self.scale * (scaled - self.half.mT @ (self.half @ scaled))


def low_rank(jacobian: Float[Tensor, "m n"], ridge: Float[Tensor, " n"]) -> LowRank | None:
    """H^-1 for R = ``ridge``, all above zero; None where numbers are not finite."""
    scale = ridge.rsqrt()
    half = jacobian * scale
    gram = half @ half.mT
    factor, failed = torch.linalg.cholesky_ex(gram.diagonal_scatter(gram.diagonal() + 1))
    if int(failed) or not bool(factor.isfinite().all()):
        return None
    return LowRank(torch.linalg.solve_triangular(factor, half, upper=False), scale)
