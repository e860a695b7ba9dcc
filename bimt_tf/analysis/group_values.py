"""What the analyses of a group's embedding share: the checked values, and the labels that chance deals out.

A control for a claim about n elements is the same values with the elements' names dealt anew: whatever n values would
show of any group is in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.errors import InputError, require_kind, require_seed, require_whole

__all__ = ["DRAWS", "centred", "deals", "p_value"]

DRAWS = 2_000  # of element labels
TIE = 0.01  # relative difference below which a draw has reached what was found


def centred(group: FiniteGroup, embedding: Any) -> Float[np.ndarray, "n neurons"]:
    """The embedding less each neuron's mean over the elements, which the next layer's bias takes up, as float64.

    Raises:
        InputError: for what is no group, or an embedding that is not [n, neurons] or not finite.
    """
    require_kind("group", group, FiniteGroup)
    values = np.asarray(embedding.detach().cpu() if isinstance(embedding, Tensor) else embedding)
    if values.ndim != 2 or len(values) != len(group) or not values.shape[1] or values.dtype.kind not in "fiu":
        raise InputError(f"embedding must be [{len(group)} elements, neurons], found {list(values.shape)}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("embedding must hold finite numbers, found NaN or infinity")
    return np.asarray(values - values.mean(0))


def deals(group: FiniteGroup, draws: int, seed: int) -> Int[np.ndarray, "draws n"]:
    """Random orders of the elements.

    Raises:
        InputError: for fewer than 19 draws, which allow no p below .05, or a seed that is none.
    """
    require_whole("draws", draws, at_least=19)
    require_seed(seed)
    return np.random.default_rng(seed).permuted(np.tile(np.arange(len(group)), (draws, 1)), axis=1)


def p_value(found: float, chance: Float[np.ndarray, " draws"]) -> float:
    """The share of the draws that reach what was found to within 1%, itself counted among them.

    Values of few kinds (one element apart from all others, say) come out alike under many deals, but for noise in the
    small values: without the 1%, that noise would decide.
    """
    return float((1 + (chance >= found - TIE * abs(found)).sum()) / (1 + len(chance)))
