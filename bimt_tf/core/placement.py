"""The placement problem: what every neuron costs in every slot, the other populations fixed (paper, Section 2.2).

With every other population fixed, neuron a in slot b costs C[a, b] = sum over its connections of |W_a.| . d(b, .).
No connection joins a population to itself, so a permutation costs sum_a C[a, slot(a)]: a linear assignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
from torch import Tensor

from bimt_tf.core.placement_plan import PlacementPlan
from bimt_tf.core.population import Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = ["STRICT", "Placement", "Slots", "in_place_of", "movable_groups", "require_finite_strength"]


Slots = dict[str, np.ndarray]

STRICT = 1e-12  # an improvement below this share of the cost is rounding, not progress


@dataclass(frozen=True)
class Placement:
    """The placement problem: how strongly neurons of each two populations are joined, and their slots' distances.

    ``strength[p, q]`` is the summed scale * |w| [neurons of p, neurons of q], both for (p, q) and (q, p), as
    ``distance``; ``score[p]`` the summed |in| + |out| weights of each neuron (Eq. 5), if it was asked for;
    ``constant`` what does not depend on the layout. The other fields are the plan's (placement_plan.py).
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
    def of(cls, plan: PlacementPlan, parameters: Mapping[str, Tensor], scored: bool = True) -> Placement:
        """Read the problem off the weights, on the CPU in float64.

        Args:
            plan: how to read it.
            parameters: parameter -> the values to be read, the model's or others of the same shapes.
            scored: whether ``score`` is needed; the exact search from the present layout does without, and finds by
                the cost itself whether it is finite.

        Raises:
            InputError: for weights that are not finite, if ``scored``.
        """
        strength: dict[tuple[str, str], np.ndarray] = {}
        score = {name: np.zeros(p.size) for name, p in plan.wiring.populations.items()} if scored else {}
        constant = plan.gaps(parameters)
        for reader in plan.readers:
            sizes, pair = reader.sizes(parameters[reader.parameter]), reader.pair
            if scored:
                for axis, name in enumerate(pair):
                    score[name] += np.add.reduce(sizes, axis=1 - axis, dtype=np.float64)
            if not reader.local:  # it counts for who is important (Eq. 5), and pulls nobody anywhere
                constant += reader.scale * plan.layer_gap * float(sizes.sum(dtype=np.float64))
                continue
            joined = np.multiply(sizes, reader.scale, dtype=np.float64)
            if pair in strength:
                strength[pair] += joined
            else:
                strength[pair] = joined
        if scored:
            require_finite_strength(constant, *(float(matrix.sum()) for matrix in strength.values()))
        strength.update({(q, p): matrix.T for (p, q), matrix in tuple(strength.items())})
        return cls(
            plan.wiring, strength, plan.distance, score, constant, plan.neighbours, plan.coordinate_set,
            plan.coordinates,
        )  # fmt: skip

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
                joined = self._joined(name, q, slots)
                for other in others:
                    joined += self._joined(name, other, slots)
                part = joined @ self.distance[q, name]
            else:
                part = self.strength[name, q] @ self.distance[q, name].take(slots[q], axis=0)
            table = part if table is None else np.add(table, part, out=table)
        return np.zeros((len(slots[name]), len(slots[name]))) if table is None else table

    def _joined(self, name: str, q: str, slots: Slots) -> np.ndarray:
        """How strongly each neuron of one population is joined to each slot of another."""
        return self.strength[name, q][:, _inverse(slots[q])]


def require_finite_strength(*of_weights: float) -> None:
    """Raise InputError unless sums over the weights, or the cost of a layout, are finite."""
    if not all(map(isfinite, of_weights)):
        raise InputError("the weights are not finite: neurons cannot be placed")


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


def _inverse(slots: np.ndarray) -> np.ndarray:
    """Slot -> neuron."""
    order = np.empty_like(slots)
    order[slots] = np.arange(len(slots))
    return order


def movable_groups(wiring: Wiring) -> list[tuple[Population, ...]]:
    """The populations that may move, those that share their heads together."""
    return [group for group in wiring.groups.values() if all(p.movable for p in group)]
