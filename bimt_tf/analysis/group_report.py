"""All that is asked of an embedding of a group, in one call: multiplication table and array in, results out.

The parts can be asked alone: group_spectrum (representations), group_cosets (level sets), group_rings (cyclic groups),
group_relations (Eqs. A5-A6), group_dimensions (Eqs. A7-A9).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bimt_tf.analysis.group_cosets import MOST, CosetFit, coset_fits
from bimt_tf.analysis.group_dimensions import effective_dimension, standard_dimensions
from bimt_tf.analysis.group_modules import Purity, purity
from bimt_tf.analysis.group_relations import ActionLoss, LinearRelation, action_loss, linear_relations
from bimt_tf.analysis.group_representations import irreps
from bimt_tf.analysis.group_rings import Ring, rings
from bimt_tf.analysis.group_spectrum import NeuronSpectrum, Spectrum, spectrum
from bimt_tf.analysis.group_table import FiniteGroup, finite_group
from bimt_tf.analysis.group_values import DRAWS
from bimt_tf.errors import InputError

__all__ = ["GroupReport", "group_report"]

PURE = 0.95  # of a neuron's variance in one representation


class GroupReport(NamedTuple):
    """What an embedding holds of a group.

    ``neurons``: numbers of the k neurons; ``embedding`` [n, k]; ``modules``: sets of them; ``purity``: whether each
    holds one representation (None of a single module); ``spectrum``, ``cosets``, ``rings`` (one a module; [] unless the
    group is cyclic), ``relations``, ``action`` (None where there are as many neurons as elements): results of the
    modules of those names; ``dimension``: the effective dimension of the embedding; ``standard``: that of the standard
    representation by basis; ``draws`` and ``seed`` of the controls.
    """

    group: FiniteGroup
    neurons: list[int]
    embedding: list[list[float]]
    modules: list[list[int]]
    purity: Purity | None
    spectrum: Spectrum
    cosets: list[CosetFit]
    rings: list[Ring]
    relations: list[LinearRelation]
    action: ActionLoss | None
    dimension: float
    standard: dict[str, float]
    draws: int
    seed: int

    @property
    def pure(self) -> list[NeuronSpectrum]:
        """The neurons that have at least 95% of their variance in one representation."""
        return [one for one in self.spectrum.neurons if one.share >= PURE]

    @property
    def faithful(self) -> LinearRelation | None:
        """The relation to the faithful representation that leaves least; None of a group that has none irreducible."""
        found = [one for one in self.relations if one.faithful]
        return found[0] if found else None

    def __repr__(self) -> str:
        first = self.spectrum.shares[0]
        return (
            f"GroupReport({len(self.group)} elements, {len(self.neurons)} neurons, {len(self.pure)} of one "
            f"representation; most variance: {first.irrep} {first.share:.2f}, chance {first.chance:.2f})"
        )

    def _repr_html_(self) -> str:
        cosets = {one.neuron: one for one in self.cosets}
        rows = []
        for one in self.spectrum.neurons:
            fit = cosets.get(one.neuron)
            held = "" if fit is None else f"{fit.cosets} {fit.side} of {fit.subgroup}, R2 {fit.r2:.3f}, p {fit.p:.2g}"
            cells = (one.neuron, one.best, f"{one.share:.3f}", f"{one.p:.2g}", f"{one.correlation:+.3f}",
                     held.replace("<", "&lt;"))  # fmt: skip
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        heads = "".join(f"<th>{x}</th>" for x in ("neuron", "representation", "share", "p", "correlation", "cosets"))
        return f"<table><tr>{heads}</tr>{''.join(rows)}</table>"

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts; the error maps, which are large, are left out."""
        left_out = {"group", "spectrum", "relations", "action", "cosets", "rings", "purity"}
        return {
            "elements": list(self.group.names),
            **{name: value for name, value in self._asdict().items() if name not in left_out},
            "spectrum": self.spectrum.as_dict(),
            "cosets": [one._asdict() for one in self.cosets],
            "rings": [one._asdict() for one in self.rings],
            "purity": None if self.purity is None else self.purity._asdict(),
            "relations": [_small(one) for one in self.relations],
            "action": None if self.action is None else _small(self.action),
        }


def _small(one: ActionLoss | LinearRelation) -> dict[str, Any]:
    """A result without its error map."""
    return {name: value for name, value in one._asdict().items() if name != "errors"}


def group_report(
    group: FiniteGroup | Any,
    embedding: Any,
    neurons: Sequence[int] | None = None,
    modules: Sequence[Sequence[int]] = (),
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> GroupReport:
    """What an embedding holds of a group.

    Args:
        group: of :func:`~bimt_tf.analysis.group_table.finite_group`, or a multiplication table [n, n].
        embedding: [n, neurons], a row an element; each neuron must vary.
        neurons: their numbers; 0, 1, ... unless given.
        modules: sets of these numbers, for rings; one of all unless given.
        draws: how often labels are dealt anew for each control, at least 19.
        seed: of the draws.

    Raises:
        InputError: for a table that is no group's, an embedding of another shape, not finite or with a constant
            neuron, or a module with a neuron that is none.
    """
    if not isinstance(group, FiniteGroup):
        group = finite_group(group)
    parts = irreps(group)
    found = spectrum(group, embedding, parts, neurons, draws=draws, seed=seed)
    numbers = [one.neuron for one in found.neurons]
    sets = [list(one) for one in modules] or [numbers]
    for number in (number for one in sets for number in one):
        if number not in numbers:
            raise InputError(f"a module holds neuron {number}, which is none of {', '.join(map(str, numbers))}")
    values = np.asarray(embedding.detach().cpu() if hasattr(embedding, "detach") else embedding, dtype=np.float64)
    circular = group.generator is not None and len(group) >= 5
    columns = [[numbers.index(number) for number in one] for one in sets]
    around = rings(group, values, parts, columns, draws=draws, seed=seed) if circular else []
    named = [one._replace(neurons=tuple(numbers[i] for i in one.neurons)) for one in around]
    few = len(group) <= MOST or group.generator is not None
    return GroupReport(
        group,
        numbers,
        values.tolist(),
        sets,
        purity(sets, {one.neuron: one.best for one in found.neurons}, draws=draws, seed=seed),
        found,
        coset_fits(group, values, numbers, draws=draws, seed=seed) if few else [],
        named,
        linear_relations(group, values, parts, draws=draws, seed=seed),
        action_loss(group, values, seed=seed),
        effective_dimension(values),
        standard_dimensions(group),
        draws,
        seed,
    )
