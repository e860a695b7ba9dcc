"""Whether modules keep representations apart: one each, more often than neurons thrown together would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bimt_tf.analysis.group_values import DRAWS, p_value
from bimt_tf.errors import InputError, require_seed, require_whole

__all__ = ["Purity", "purity"]


class Purity(NamedTuple):
    """Of ``modules`` how many hold neurons of one representation, ``pure``.

    ``chance``: how many would if the representations were dealt to modules of these sizes at random; ``p``: how often
    as many do.
    """

    modules: int
    pure: int
    chance: float
    p: float


def purity(
    modules: Sequence[Sequence[int]], best: Mapping[int, str], *, draws: int = DRAWS, seed: int = 0
) -> Purity | None:
    """How many modules hold one representation; None where every module is a single neuron, or all are in one.

    Args:
        modules: disjoint sets of neurons.
        best: the representation of each of these neurons.
        draws: how often representations are dealt anew.
        seed: of the draws.

    Raises:
        InputError: for a neuron without a representation, or in two modules.
    """
    require_whole("draws", draws, at_least=19)
    require_seed(seed)
    neurons = [neuron for one in modules for neuron in one]
    if len(set(neurons)) < len(neurons) or not set(neurons) <= set(best):
        raise InputError(f"modules must hold neurons with a representation, each once, found {neurons}")
    if len(modules) < 2 or all(len(one) == 1 for one in modules):
        return None
    kinds = np.unique([best[neuron] for neuron in neurons], return_inverse=True)[1]
    ends = np.cumsum([len(one) for one in modules])[:-1]
    dealt = np.random.default_rng(seed).permuted(np.tile(kinds, (draws, 1)), axis=1)
    rows = np.concatenate([kinds[None], dealt])
    pure = np.sum([(part == part[:, :1]).all(1) for part in np.split(rows, ends, axis=1)], axis=0)
    return Purity(len(modules), int(pure[0]), float(pure[1:].mean()), p_value(float(pure[0]), pure[1:].astype(float)))
