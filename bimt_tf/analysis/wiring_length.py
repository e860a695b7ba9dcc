"""Wiring length: how far apart the neurons stand that a weight joins.

    mean = sum |w| A|dx| / sum |w|,   total = sum |w| A|dx|

over every connection that pays for its length (all, unless ``Wiring.distance_free`` says otherwise), without the layer
gap y_star, which no swap can save. Swaps lower it; modularity (Q) does not see them, so tables report both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError, require_kind

__all__ = ["wiring_length", "WiringLength"]


class WiringLength(NamedTuple):
    """``mean`` length of a wire, weighted with |w| (a length); ``total``, sum of |w| times length."""

    mean: float
    total: float

    def as_dict(self) -> dict[str, float]:
        """The result as a dict of numbers, ready for JSON."""
        return self._asdict()


@torch.no_grad()
def wiring_length(bimt: BIMT) -> WiringLength:
    """The in-plane length of a model's wires in its geometry's norm, weighted with |w|; 0 if every weight is 0.

    Raises:
        InputError: for a weight that is NaN or infinite.
    """
    require_kind("bimt", bimt, BIMT)
    plane = replace(bimt.geometry, layer_gap=0.0)
    places, parameters = bimt.places, bimt.parameters
    total = weight = 0.0
    for connection in bimt.wiring.connections:
        if not connection.local:
            continue
        sizes = connection.flatten(parameters[connection.parameter].to("cpu", torch.float64)).abs().sum(0)
        source, target = (places[stage.population] for stage in connection.stages)
        if not sizes.isfinite().all():
            raise InputError(f"parameter {connection.parameter!r} has weights that are not finite; they have no length")
        total += float((sizes * plane.distance(source, target)).sum())
        weight += float(sizes.sum())
    return WiringLength(total / weight if weight else 0.0, total)
