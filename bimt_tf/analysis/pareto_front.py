"""The Pareto front: results that no other one beats on both counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

__all__ = ["pareto_front"]


def pareto_front(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
    """Indices of the points on the front where both numbers should be small, by rising ``first``.

    A point is on it unless another is at most as large in both and smaller in one; of equal points the first is kept.
    """
    order = np.lexsort((second, first))
    before = np.minimum.accumulate(np.concatenate([[np.inf], second[order]]))[:-1]
    return order[second[order] < before]
