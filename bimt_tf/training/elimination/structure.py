"""Moves of whole parts: heads, modules, neurons that others carry, and what a softmax does not see.

They go on until none can be kept within the budget; each that is kept is a round.
"""

from __future__ import annotations

from bimt_tf.training.elimination.merging import merge_neuron
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.softmax_gauge import shift_equal_weights
from bimt_tf.training.elimination.whole_parts import remove_head, remove_module

__all__ = ["FEW_ENOUGH", "remove_parts"]

FEW_ENOUGH = 600
"""Of more live weights each refit takes too long for one part."""

MOVES = (remove_head, remove_module, merge_neuron, shift_equal_weights)


def remove_parts(search: Search) -> None:
    """Take whole parts out, the largest kind first, until none can go."""
    while search.live <= FEW_ENOUGH and not search.stop() and not search.reached:
        if not any(move(search) for move in MOVES):
            return
