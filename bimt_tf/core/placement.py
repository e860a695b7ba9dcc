"""The placement problem: what every neuron costs in every slot, the other populations fixed (paper, Section 2.2).

With every other population fixed, neuron a in slot b costs C[a, b] = sum over its connections of |W_a.| . d(b, .).
No connection joins a population to itself, so a permutation costs sum_a C[a, slot(a)]: a linear assignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bimt_tf.core.geometry import Geometry
from bimt_tf.core.population import Connection, Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = ["STRICT", "Placement", "Slots", "in_place_of", "movable_groups"]


Slots = dict[str, np.ndarray]

STRICT = 1e-12  # an improvement below this share of the cost is rounding, not progress

CHUNK = 2**20  # entries of a parameter that are summed at once


@dataclass(frozen=True)
class Placement:
    """The placement problem: how strongly neurons of each two populations are joined, and their slots' distances.

    ``strength[p, q]`` is the summed scale * |w| [neurons of p, neurons of q], ``distance[p, q]`` [slots, slots], both
    for (p, q) and (q, p); ``score[p]`` the summed |in| + |out| weights of each neuron (Eq. 5); ``constant`` what
    does not depend on the layout. Populations with the same ``coordinate_set`` have their slots at
    the same places, and so the same distances to any other. ``coordinates[p]`` [slots, dims] are lengths.
    """

    wiring: Wiring
    strength: Mapping[tuple[str, str], np.ndarray]
    distance: Mapping[tuple[str, str], np.ndarray]
    score: Mapping[str, np.ndarray]
    constant: float
    neighbours: Mapping[str, tuple[str, ...]]
    coordinate_set: Mapping[str, int]
    coordinates: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        wiring: Wiring,
        geometry: Geometry,
        coordinates: Mapping[str, Tensor],
        scale: Mapping[str, float],
        parameters: Mapping[str, Tensor],
    ) -> Placement:
        """Read the problem off the weights, on the CPU in float64.

        Args:
            wiring: what joins what.
            geometry: how long a wire between two slots is.
            coordinates: population -> its slots' coordinates [slots, dims] (lengths, float64, CPU).
            scale: charged parameter -> the factor of its lengths (``coefficient.scales``).
            parameters: parameter -> the values to be read, the model's or others of the same shapes.

        Raises:
            InputError: for weights that are not finite.
        """
        strength: dict[tuple[str, str], np.ndarray] = {}
        score = {name: np.zeros(p.size) for name, p in wiring.populations.items()}
        constant = 0.0
        for wired in wiring.wired:
            parameter = parameters[wired.parameter].detach()
            if not isinstance(wired, Connection):
                if wired.parameter in scale:
                    constant += scale[wired.parameter] * geometry.layer_gap * _sum_of_sizes(parameter)
                continue
            p, q = (stage.population for stage in wired.stages)
            sizes = wired.flatten(parameter.abs())
            joined = (sizes[0].double() if len(sizes) == 1 else sizes.sum(0, dtype=torch.float64)).cpu().numpy()
            del sizes
            score[p] += np.add.reduce(joined, axis=1)
            score[q] += np.add.reduce(joined, axis=0)
            if not wired.local:  # it counts for who is important (Eq. 5), and pulls nobody anywhere
                constant += scale[wired.parameter] * geometry.layer_gap * float(joined.sum())
                continue
            if (q, p) in strength:
                p, q, joined = q, p, joined.T
            joined *= scale[wired.parameter]
            if (p, q) in strength:
                strength[p, q] += joined
            else:
                strength[p, q] = joined
        coordinate_set = _coordinate_sets(coordinates)
        distance = _distances(geometry, coordinates, coordinate_set, strength)
        neighbours: dict[str, tuple[str, ...]] = {name: () for name in wiring.populations}
        for p, q in strength:
            neighbours[p] += (q,)
            neighbours[q] += (p,)
        strength.update({(q, p): matrix.T for (p, q), matrix in tuple(strength.items())})
        if not all(np.isfinite(s).all() for s in score.values()):
            raise InputError("the weights are not finite: neurons cannot be placed")
        at = {name: places.numpy() for name, places in coordinates.items()}
        return cls(wiring, strength, distance, score, constant, neighbours, coordinate_set, at)

    def cost(self, slots: Slots) -> float:
        """The connection cost (Eqs. 3 and 4) of a layout: population -> neuron -> slot, int64 [neurons]."""
        return self.constant + sum(
            float(np.vdot(matrix, self.distance[p, q].take(slots[p], axis=0).take(slots[q], axis=1)))
            for (p, q), matrix in self.strength.items()
            if p < q
        )

    def table(self, name: str, slots: Slots) -> np.ndarray:
        """C[a, b] [neurons, slots]: what neuron a of a population costs in slot b, the other populations fixed."""
        alike: dict[int, list[str]] = {}  # neighbours at equal distances take one product
        for q in self.neighbours[name]:
            alike.setdefault(self.coordinate_set[q], []).append(q)
        table: np.ndarray | None = None
        for q, *others in alike.values():
            if others:
                joined = sum((self._joined(name, o, slots) for o in others), self._joined(name, q, slots))
                part = joined @ self.distance[q, name]
            else:
                part = self.strength[name, q] @ self.distance[q, name].take(slots[q], axis=0)
            table = part if table is None else np.add(table, part, out=table)
        return np.zeros((len(slots[name]), len(slots[name]))) if table is None else table

    def _joined(self, name: str, q: str, slots: Slots) -> np.ndarray:
        """How strongly each neuron of one population is joined to each slot of another."""
        return self.strength[name, q][:, _inverse(slots[q])]


def in_place_of(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters, those that ``weights`` names replaced by its tensors.

    Raises:
        InputError: for a name that is no parameter's, or a tensor of another shape than the parameter.
    """
    for name, tensor in weights.items():
        if name not in parameters:
            raise unknown("parameter in weights", name, parameters)
        if not isinstance(tensor, Tensor) or tensor.shape != parameters[name].shape:
            found = list(tensor.shape) if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
            raise InputError(f"weights[{name!r}] must be a tensor {list(parameters[name].shape)}, found {found}")
    return {**parameters, **weights}


def _sum_of_sizes(parameter: Tensor) -> float:
    """Sum of |w| in float64, a part at a time: a vocabulary's table is large."""
    if parameter.numel() <= CHUNK:
        return float(parameter.abs().sum(dtype=torch.float64))
    rows = max(1, CHUNK // max(1, parameter[:1].numel()))
    return sum(float(part.abs().sum(dtype=torch.float64)) for part in parameter.split(rows))


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


def _inverse(slots: np.ndarray) -> np.ndarray:
    """Slot -> neuron."""
    order = np.empty_like(slots)
    order[slots] = np.arange(len(slots))
    return order


def movable_groups(wiring: Wiring) -> list[tuple[Population, ...]]:
    """The populations that may move, those that share their heads together."""
    return [group for group in wiring.groups.values() if all(p.movable for p in group)]
