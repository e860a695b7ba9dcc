"""Rings: whether a module's neurons hold the elements of a cyclic group in a circle, and in which order.

Frequency k puts element a, the m-th power of the generator, at the angle 2 pi k m / n (paper, Section 3.3: each module
of modular addition holds one ring). A module of two neurons or more shows a ring as an ellipse in the plane of its two
leading principal directions; going around it, neighbours are a fixed number of powers apart, the inverse of k modulo n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bimt_tf.analysis.group_representations import Irrep
from bimt_tf.analysis.group_spectrum import powers
from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.analysis.group_values import DRAWS, centred, deals, p_value
from bimt_tf.errors import InputError

__all__ = ["Ring", "rings"]


class Ring(NamedTuple):
    """The best frequency of some neurons.

    ``frequency``, from 1 to n // 2; ``r2``: the share of the neurons' variance in its plane; ``chance_95``: that of
    the best of all frequencies under labels dealt anew, 95% point; ``p``: how often it is as large; ``plane`` [n, 2]:
    the elements in the two leading principal directions; ``plane_share``: of the variance; ``step``: by how many powers
    of the generator most neighbours around that plane differ; ``in_order``: the share of neighbours that do; all four
    None for fewer than two neurons, which have no plane. ``second``: the second best frequency,
    ``second_r2`` its share, ``multiple`` the least m >= 2 for which m times the first is the second (or n less it), 0
    where there is none: 3 of a triangular wave.
    """

    neurons: tuple[int, ...]
    frequency: int
    r2: float
    chance_95: float
    p: float
    second: int
    second_r2: float
    multiple: int
    plane: list[list[float]] | None
    plane_share: float | None
    step: int | None
    in_order: float | None

    def __repr__(self) -> str:
        order = "" if self.step is None else f", neighbours {self.step} apart: {self.in_order:.0%}"
        return f"Ring(neurons {list(self.neurons)}: frequency {self.frequency}, R2 {self.r2:.3f}{order})"


def rings(
    group: FiniteGroup,
    embedding: Any,
    representations: Sequence[Irrep],
    modules: Sequence[Sequence[int]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Ring]:
    """For each set of neurons its best frequency, and the order in which its plane shows the elements.

    Args:
        group: cyclic, of at least five elements.
        embedding: [n, neurons], a row an element.
        representations: of :func:`~bimt_tf.analysis.group_representations.irreps`.
        modules: columns of the embedding, as many sets as wanted.
        draws: how often labels are dealt anew.
        seed: of the draws.

    Raises:
        InputError: for a group that is not cyclic or too small, an empty set, an unknown column, constant neurons, or
            an embedding of another shape.
    """
    if group.generator is None or len(group) < 5:
        raise InputError(f"rings are of cyclic groups of at least 5 elements, found {group}")
    values = centred(group, embedding)
    for one in modules:
        if not one or not set(one) <= set(range(values.shape[1])):
            raise InputError(f"a module holds columns from 0 to {values.shape[1] - 1}, found {list(one)}")
        if not (values[:, list(one)] ** 2).sum():
            raise InputError(f"the neurons {list(one)} are the same for every element: leave them out")
    circles, orders = [one for one in representations if one.dim == 2], deals(group, draws, seed)
    return [_ring(group, values, circles, list(one), orders) for one in modules]


def _ring(
    group: FiniteGroup,
    values: Float[np.ndarray, "n neurons"],
    circles: Sequence[Irrep],
    module: list[int],
    orders: Int[np.ndarray, "draws n"],
) -> Ring:
    held = values[:, module]
    found, chance = (power.sum(-1) / (held**2).sum() for power in powers(held, circles, orders))
    best = int(found.argmax())
    dealt = chance.max(1)
    second = int(np.argsort(found)[-2])
    told = (best + 1, float(found[best]), float(np.quantile(dealt, 0.95)), p_value(float(found[best]), dealt),
            second + 1, float(found[second]), _multiple(best + 1, second + 1, len(group)))  # fmt: skip
    if len(module) < 2:
        return Ring(tuple(module), *told, None, None, None, None)
    left, sizes, _ = np.linalg.svd(held, full_matrices=False)
    plane = left[:, :2] * sizes[:2]
    step, in_order = _order(group, plane)
    return Ring(tuple(module), *told, plane.tolist(), float((sizes[:2] ** 2).sum() / (sizes**2).sum()), step, in_order)


def _multiple(frequency: int, other: int, n: int) -> int:
    """The least m >= 2 for which m times a frequency is the other one; 0 where there is none."""
    turns = (np.arange(2, n + 2) * frequency) % n
    found = np.flatnonzero(np.minimum(turns, n - turns) == other)
    return int(found[0]) + 2 if found.size else 0


def _order(group: FiniteGroup, plane: Float[np.ndarray, "n 2"]) -> tuple[int, float]:
    """The commonest distance of neighbours around a plane, in powers of the generator, and the share that have it."""
    n, power = len(group), group.logarithms
    scaled = plane / np.maximum(plane.std(0), 1e-12)  # an ellipse becomes a circle
    around = power[np.argsort(np.arctan2(scaled[:, 1], scaled[:, 0]), kind="stable")]
    apart = (np.roll(around, -1) - around) % n
    apart = np.minimum(apart, n - apart)
    counts = np.bincount(apart, minlength=n)
    return int(counts.argmax()), float(counts.max() / n)
