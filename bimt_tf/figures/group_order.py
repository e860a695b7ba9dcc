"""In which order the elements of a group are drawn, and the colours of a neuron's values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from matplotlib.colors import LinearSegmentedColormap

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.figures.style import NEGATIVE, POSITIVE

__all__ = ["DIVERGING", "deviations", "element_order", "neuron_order"]

DIVERGING = LinearSegmentedColormap.from_list("below and above", [NEGATIVE, "#F7F7F7", POSITIVE])
"""Orange below, blue above: colour-blind readers tell them apart."""


def element_order(group: FiniteGroup) -> tuple[Int[np.ndarray, " n"], list[Int[np.ndarray, " edges"]]]:
    """The elements by the cosets of a chain of normal subgroups, and after which row each subgroup's cosets end.

    The chain is the largest normal subgroup, the largest normal one inside it, and so on; a cyclic group is in the
    order of its generator's powers.
    """
    if group.generator is not None:
        return np.argsort(group.logarithms), []
    normal = [one for one in group.subgroups if (group.cosets(one, "left") == group.cosets(one, "right")).all()]
    chain: list[frozenset[int]] = []
    for one in reversed(normal):
        if 1 < len(one) < len(group) and (not chain or one < chain[-1]):
            chain.append(one)
    keys = [group.cosets(one, "left") for one in chain]
    order = np.lexsort((np.arange(len(group)), *reversed(keys)))
    ends = [np.flatnonzero(np.diff(key[order])) + 1 for key in keys]
    return order, ends


def neuron_order(report: GroupReport) -> list[int]:
    """The columns of the embedding by module, then representation, then number."""
    module = {neuron: i for i, one in enumerate(report.modules) for neuron in one}
    best = {one.neuron: one.best for one in report.spectrum.neurons}
    key = [(module.get(neuron, len(module)), best[neuron], neuron) for neuron in report.neurons]
    return sorted(range(len(key)), key=key.__getitem__)


def deviations(report: GroupReport) -> Float[np.ndarray, "n neurons"]:
    """Each neuron's values less their mean, in units of the largest."""
    values = np.asarray(report.embedding)
    values = values - values.mean(0)
    return np.asarray(values / np.abs(values).max(0))
