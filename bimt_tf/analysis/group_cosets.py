"""On the cosets of which subgroup a neuron is constant (paper, Section 3.3): its level sets, tested against chance.

Each partition into left or right cosets of a subgroup explains a share R2 of a neuron's variance by one mean a coset.
Finer partitions explain more of anything, so partitions are compared by the F test's p, and the best one's p is itself
compared with that of the best partition under labels dealt anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betainc

from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.analysis.group_values import DRAWS, centred, deals, p_value
from bimt_tf.errors import InputError

__all__ = ["CosetFit", "coset_fits"]

FINEST = 1e-12  # of the unexplained share, below which it is rounding
MOST = 120  # elements; the subgroups of larger groups take too long to list


class CosetFit(NamedTuple):
    """The cosets that a neuron is nearest to being constant on.

    ``subgroup``: by generators; ``size``: its elements; ``side``: "left" (a H), "right" (H a), or "both" of a normal
    subgroup; ``cosets``: how many; ``labels`` [n]: each element's coset; ``levels``: the neuron's mean on each; ``r2``:
    the share of its variance between cosets; ``p``: how often the best partition of chance fits as well.
    """

    neuron: int
    subgroup: str
    size: int
    side: str
    cosets: int
    labels: list[int]
    levels: list[float]
    r2: float
    p: float

    def __repr__(self) -> str:
        return (
            f"CosetFit(neuron {self.neuron}: {self.cosets} {self.side} cosets of {self.subgroup} ({self.size} "
            f"elements), R2 {self.r2:.3f}, p {self.p:.2g})"
        )


class _Partition(NamedTuple):
    subgroup: frozenset[int]
    side: str
    labels: Int[np.ndarray, " n"]


def coset_fits(
    group: FiniteGroup, embedding: Any, neurons: Sequence[int] | None = None, *, draws: int = DRAWS, seed: int = 0
) -> list[CosetFit]:
    """For each neuron the partition into cosets that fits it best; [] of a group without proper subgroups.

    Args:
        group: n elements, at most 120.
        embedding: [n, neurons], a row an element.
        neurons: their numbers; 0, 1, ... unless given.
        draws: how often labels are dealt anew.
        seed: of the draws.

    Raises:
        InputError: for an embedding of another shape or not finite, a constant neuron, or a larger group.
    """
    if len(group) > MOST and group.generator is None:
        raise InputError(f"cosets are sought in groups of at most {MOST} elements, found {len(group)}")
    values = centred(group, embedding)
    numbers = list(range(values.shape[1])) if neurons is None else list(neurons)
    partitions = _partitions(group)
    if not partitions:
        return []
    if len(numbers) != values.shape[1] or not (values**2).sum(0).all():
        raise InputError(f"each of {values.shape[1]} neurons must have a number, and vary over the elements")
    orders = deals(group, draws, seed)
    return [_best(values[:, j], number, group, partitions, orders) for j, number in enumerate(numbers)]


def _partitions(group: FiniteGroup) -> list[_Partition]:
    """The cosets of every subgroup but the trivial one and the whole; the largest subgroup first."""
    found = []
    for subgroup in reversed(group.subgroups):
        if 1 < len(subgroup) < len(group):
            left, right = group.cosets(subgroup, "left"), group.cosets(subgroup, "right")
            if (left == right).all():
                found.append(_Partition(subgroup, "both", left))
            else:
                found += [_Partition(subgroup, "left", left), _Partition(subgroup, "right", right)]
    return found


def _best(
    values: Float[np.ndarray, " n"],
    number: int,
    group: FiniteGroup,
    partitions: Sequence[_Partition],
    orders: Int[np.ndarray, "draws n"],
) -> CosetFit:
    rows = np.concatenate([values[None], values[orders]])
    total = (values**2).sum()
    explained, fits = [], []
    for one in partitions:
        count = int(one.labels.max()) + 1
        means = _means(rows, one.labels, count)
        r2 = (means**2).sum(1) * (len(values) / count) / total
        explained.append(float(r2[0]))
        left = np.clip(1 - r2, FINEST, 1.0)
        fits.append(-np.log(np.maximum(betainc((len(values) - count) / 2, (count - 1) / 2, left), 1e-300)))
    best = int(np.argmax([fit[0] for fit in fits]))
    p = p_value(float(fits[best][0]), np.max([fit[1:] for fit in fits], axis=0))
    one = partitions[best]
    count = int(one.labels.max()) + 1
    levels = _means(values[None], one.labels, count)[0]
    return CosetFit(
        number, group.word(one.subgroup), len(one.subgroup), one.side, count, one.labels.tolist(),
        [float(level) for level in levels], min(explained[best], 1.0), p,
    )  # fmt: skip


def _means(
    rows: Float[np.ndarray, "rows n"], labels: Int[np.ndarray, " n"], count: int
) -> Float[np.ndarray, "rows cosets"]:
    """The mean of each row on each coset; cosets are equally large."""
    members = np.eye(count)[labels]
    return np.asarray(rows @ members / members.sum(0))
