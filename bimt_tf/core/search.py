"""The search for a better layout (paper, Section 2.2, Step 3). It returns a layout and writes nothing.

What is searched is the placement problem (placement.py), by one of two methods:

- assignment: each population solved exactly, in sweeps (exact_search.py);
- greedy: the paper's. The top k neurons by Eq. 5, each exchanged with the partner that lowers the cost most
  (greedy_search.py).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from bimt_tf.core.exact_search import search_exactly
from bimt_tf.core.greedy_search import exchange_greedily
from bimt_tf.core.layout import Layout
from bimt_tf.core.placement import STRICT, Placement
from bimt_tf.errors import InputError, unknown

__all__ = ["SearchMethod", "SwapReport", "search"]

SearchMethod = Literal["assignment", "greedy"]


class SwapReport(NamedTuple):
    """What a search found: the cost before and after, neurons that changed slots, sweeps over the populations."""

    cost_before: float
    cost_after: float
    moved: int
    sweeps: int

    def __repr__(self) -> str:
        neurons = "1 neuron" if self.moved == 1 else f"{self.moved} neurons"
        sweeps = "1 sweep" if self.sweeps == 1 else f"{self.sweeps} sweeps"
        return f"SwapReport(cost {self.cost_before:.6g} -> {self.cost_after:.6g}, {neurons} moved in {sweeps})"


def search(
    placement: Placement, layout: Layout, method: SearchMethod = "assignment", top_k: int = 30
) -> tuple[Layout, SwapReport]:
    """A layout of no higher cost (paper, Section 2.2, Step 3).

    Args:
        placement: the weights and distances that the search sees.
        layout: where it begins; it stays as it is.
        method: "assignment" or "greedy".
        top_k: the paper's k, neurons a population that the greedy search moves.

    Raises:
        InputError: for an unknown method, or a ``top_k`` that is no whole number of at least 1.
    """
    slots = {name: layout.of(name).copy() for name in layout}
    before = placement.cost(slots)
    if method == "assignment":
        sweeps = search_exactly(placement, slots, STRICT * before)
    elif method == "greedy":
        if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
            raise InputError(f"top_k must be a whole number of at least 1, found {top_k!r}")
        sweeps = exchange_greedily(placement, slots, top_k, STRICT * before)
    else:
        raise unknown("swap method", str(method), ("assignment", "greedy"))
    found = Layout({name: torch.from_numpy(s) for name, s in slots.items()})
    return found, SwapReport(before, placement.cost(slots), found.moved(layout), sweeps)
