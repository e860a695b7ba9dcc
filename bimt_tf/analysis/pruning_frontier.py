"""What a pruning curve promises: the least loss with at most so many weights (paper, Figure A1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError, require_kind, require_whole

__all__ = ["MOST_THRESHOLDS", "least_losses", "weight_sizes"]

MOST_THRESHOLDS = 150


def weight_sizes(bimt: BIMT, most: int = MOST_THRESHOLDS) -> list[float]:
    """Thresholds of a cut: 0, then the sizes of the weights from small to large, so that each cuts a few more.

    Args:
        bimt: the network.
        most: at most so many, evenly spaced in the order of the weights; the last one cuts all.

    Raises:
        InputError: for what is no BIMT, or fewer than two thresholds.
    """
    require_kind("bimt", bimt, BIMT)
    require_whole("thresholds", most, at_least=2)
    names = {connection.parameter for connection in bimt.wiring.connections}
    every = torch.cat([bimt.parameters[name].detach().abs().flatten().double() for name in sorted(names)])
    sizes = torch.unique(every[every > 0]).tolist()
    if len(sizes) >= most:
        places = np.linspace(0, len(sizes) - 1, most - 1).round().astype(int)
        sizes = [sizes[place] for place in places]
    return [0.0, *sizes]


def least_losses(points: Sequence[PrunePoint], counts: Sequence[int]) -> Float[np.ndarray, " counts"]:
    """For each count the least loss of all points with at most so many active weights.

    Where no point has as few weights, the loss of the one with the fewest stands.

    Args:
        points: of one pruning curve.
        counts: numbers of weights.

    Raises:
        InputError: for no point.
    """
    if not points:
        raise InputError("a pruning curve needs at least one point")
    order = sorted(points, key=lambda point: (point.active_weights, point.loss))
    weights: Int[np.ndarray, " points"] = np.array([point.active_weights for point in order])
    least = np.minimum.accumulate([point.loss for point in order])
    places = np.searchsorted(weights, np.asarray(counts), side="right") - 1
    return np.asarray(least[np.maximum(places, 0)])
