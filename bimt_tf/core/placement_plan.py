"""What a placement problem has that no weight changes: made once for a wiring, and read with at every swap.

For each connection it holds how to lay its weights out as [copies, neurons, neurons] without reading a pattern again,
and for each two populations that are joined the distances of their slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bimt_tf.core.geometry import Geometry
from bimt_tf.core.population import Connection, Unfolding
from bimt_tf.core.wiring import Wiring

__all__ = ["PlacementPlan", "Reader"]

PLAIN = (torch.float32, torch.float64)  # what NumPy reads on the same memory
CHUNK = 2**20  # entries of a parameter that are summed at once


class Reader(NamedTuple):
    """How one connection's weights are read: ``pair`` [rows, columns] are populations, ``scale`` what |w| is times.

    ``turned``: the pair is (target, source). A connection that is not ``local`` pulls no neuron anywhere.
    """

    parameter: str
    unfolding: Unfolding
    pair: tuple[str, str]
    turned: bool
    local: bool
    scale: float

    def sizes(self, parameter: Tensor) -> np.ndarray:
        """|w| between the neurons of the pair, summed over copies; float64, or the parameter's dtype without copies."""
        if parameter.is_cpu and parameter.dtype in PLAIN:
            sizes = np.abs(self.unfolding.of_array(parameter.detach().numpy()))
            joined = sizes[0] if len(sizes) == 1 else sizes.sum(axis=0, dtype=np.float64)
        else:
            there = self.unfolding.of_tensor(parameter.detach()).abs()
            joined = (there[0] if len(there) == 1 else there.sum(0, dtype=torch.float64)).cpu().double().numpy()
        return joined.T if self.turned else joined


@dataclass(frozen=True)
class PlacementPlan:
    """``readers`` of all connections; ``hanging``: attachment -> what the sum of its sizes is times.

    ``distance[p, q]`` [slots, slots], for (p, q) and (q, p); ``neighbours``: population -> those it is joined to.
    Populations with the same ``coordinate_set`` have their slots at the same places, and so the same distances to any
    other. ``coordinates[p]`` [slots, dims] are lengths.
    """

    wiring: Wiring
    layer_gap: float
    readers: tuple[Reader, ...]
    hanging: Mapping[str, float]
    distance: Mapping[tuple[str, str], np.ndarray]
    neighbours: Mapping[str, tuple[str, ...]]
    coordinate_set: Mapping[str, int]
    coordinates: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls, wiring: Wiring, geometry: Geometry, coordinates: Mapping[str, Tensor], scale: Mapping[str, float]
    ) -> PlacementPlan:
        """The plan of a wiring in a geometry.

        Args:
            wiring: what joins what.
            geometry: how long a wire between two slots is.
            coordinates: population -> its slots' coordinates [slots, dims] (lengths, float64, CPU).
            scale: charged parameter -> the factor of its lengths (``coefficient.scales``).
        """
        readers: list[Reader] = []
        pairs: dict[tuple[str, str], None] = {}
        for wired in wiring.wired:
            if isinstance(wired, Connection):
                p, q = (stage.population for stage in wired.stages)
                turned = (q, p) in pairs
                pair = (q, p) if turned else (p, q)
                if wired.local:
                    pairs[pair] = None
                unfolding = Unfolding.of(wired)
                readers.append(Reader(wired.parameter, unfolding, pair, turned, wired.local, scale[wired.parameter]))
        hanging = {
            one.parameter: scale[one.parameter] * geometry.layer_gap
            for one in wiring.attachments
            if one.parameter in scale
        }
        neighbours: dict[str, tuple[str, ...]] = {name: () for name in wiring.populations}
        for p, q in pairs:
            neighbours[p] += (q,)
            neighbours[q] += (p,)
        coordinate_set = _coordinate_sets(coordinates)
        distance = _distances(geometry, coordinates, coordinate_set, pairs)
        at = {name: places.numpy() for name, places in coordinates.items()}
        return cls(wiring, geometry.layer_gap, tuple(readers), hanging, distance, neighbours, coordinate_set, at)

    def gaps(self, parameters: Mapping[str, Tensor]) -> float:
        """What the attachments pay, wherever neurons are."""
        owed = 0.0
        small: list[str] = []
        for name, times in self.hanging.items():
            parameter = parameters[name].detach()
            if parameter.numel() <= CHUNK:
                small.append(name)
                continue
            rows = max(1, CHUNK // max(1, parameter[:1].numel()))  # a part at a time: a vocabulary's table is large
            owed += times * sum(float(part.abs().sum(dtype=torch.float64)) for part in parameter.split(rows))
        if small:
            sums = torch._foreach_norm([parameters[name].detach() for name in small], 1, torch.float64)
            owed += sum(self.hanging[name] * float(s) for name, s in zip(small, sums, strict=True))
        return owed


def _coordinate_sets(coordinates: Mapping[str, Tensor]) -> dict[str, int]:
    """Population -> a number that is the same for all whose slots lie on the same coordinates."""
    numbers: dict[tuple[tuple[int, ...], bytes], int] = {}
    keys = {name: (tuple(at.shape), at.numpy().tobytes()) for name, at in coordinates.items()}
    return {name: numbers.setdefault(key, len(numbers)) for name, key in keys.items()}


def _distances(
    geometry: Geometry,
    coordinates: Mapping[str, Tensor],
    coordinate_set: Mapping[str, int],
    pairs: Iterable[tuple[str, str]],
) -> dict[tuple[str, str], np.ndarray]:
    """[slots, slots] of every pair, both ways; populations on the same coordinates share one matrix."""
    made: dict[tuple[int, int], np.ndarray] = {}
    found = {}
    for p, q in pairs:
        a, b = coordinate_set[p], coordinate_set[q]
        if (a, b) not in made:
            matrix = geometry.distance(coordinates[p], coordinates[q]).numpy()
            made[b, a] = matrix.T
            made[a, b] = matrix  # on the same coordinates distances are symmetric
        found[p, q], found[q, p] = made[a, b], made[b, a]
    return found
