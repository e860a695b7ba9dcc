"""The search for a better layout (paper, Section 2.2, Step 3). It returns a layout and writes nothing.

What is searched is the placement problem (placement.py), by one of two methods:

- assignment: each population solved exactly, in sweeps (exact_search.py);
- greedy: the paper's. The top k neurons by Eq. 5, each exchanged with the partner that lowers the cost most
  (greedy_search.py).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import torch

from bimt_tf.core.exact_search import search_exactly
from bimt_tf.core.greedy_search import exchange_greedily
from bimt_tf.core.layout import Layout
from bimt_tf.core.placement import STRICT, Placement, Slots, require_finite_strength
from bimt_tf.core.starts import other_starts
from bimt_tf.errors import require_kind, require_whole, unknown

__all__ = ["SearchMethod", "SwapReport", "search"]

SearchMethod = Literal["assignment", "greedy"]


class SwapReport(NamedTuple):
    """What a search found.

    The cost before and after, how many neurons changed slots, the sweeps over the populations from the start that
    led to the result, and what kind of start that was ("present", or one of starts.py).
    """

    cost_before: float
    cost_after: float
    moved: int
    sweeps: int
    start: str = "present"

    def __repr__(self) -> str:
        neurons = "1 neuron" if self.moved == 1 else f"{self.moved} neurons"
        sweeps = "1 sweep" if self.sweeps == 1 else f"{self.sweeps} sweeps"
        start = "" if self.start == "present" else f" from a start of the kind {self.start}"
        return f"SwapReport(cost {self.cost_before:.6g} -> {self.cost_after:.6g}, {neurons} moved in {sweeps}{start})"


def search(
    placement: Placement,
    layout: Layout,
    method: SearchMethod = "assignment",
    top_k: int = 30,
    *,
    starts: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[Layout, SwapReport]:
    """A layout of no higher cost (paper, Section 2.2, Step 3).

    Args:
        placement: the weights and distances that the search sees.
        layout: where it begins; it stays as it is, and is what is returned if no neuron moves.
        method: "assignment" or "greedy".
        top_k: the paper's k, neurons a population that the greedy search moves.
        starts: how many layouts the search begins at: 1 is the given one alone, more adds those of starts.py. The best
            result is kept; the given layout's own at equal cost.
        generator: draws what is random in the starts; a new one with seed 0 unless given.

    Raises:
        InputError: for an unknown method, a ``top_k`` or ``starts`` that is no whole number of at least 1, what is no
            generator, or a cost that is not finite, as its weights are not.
    """
    require_whole("starts", starts)
    require_whole("top_k", top_k)
    if generator is not None:
        require_kind("generator", generator, torch.Generator)
    best = {name: layout.of(name).copy() for name in layout}
    before = placement.cost(best)
    require_finite_strength(before)
    improve = _improvement(placement, method, top_k, STRICT * before)
    sweeps, kind = improve(best), "present"
    after = placement.cost(best)
    if starts > 1:
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        for other, slots in islice(other_starts(placement, best, generator), starts - 1):
            taken = improve(slots)
            cost = placement.cost(slots)
            if cost < after - STRICT * before:
                after, sweeps, kind = cost, taken, other
                best.update(slots)
    moved = sum(int(np.count_nonzero(slots != layout.of(name))) for name, slots in best.items())
    return (Layout.of_search(best) if moved else layout), SwapReport(before, after, moved, sweeps, kind)


def _improvement(placement: Placement, method: SearchMethod, top_k: int, tolerance: float) -> Callable[[Slots], int]:
    """The chosen method: it improves slots in place and returns the sweeps that it took."""
    if method == "assignment":
        return lambda slots: search_exactly(placement, slots, tolerance)
    if method == "greedy":
        return lambda slots: exchange_greedily(placement, slots, top_k, tolerance)
    raise unknown("swap method", str(method), ("assignment", "greedy"))
