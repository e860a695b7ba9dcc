"""An MLP's outputs multiplied out: polynomials of the inputs with few terms, fitted to the network.

Which monomials there may be follows from which inputs meet in a neuron. The lowest degree that stays within the budget
is taken; then the term whose loss costs least goes, the others are fitted again, and so on (optimal brain surgeon,
which is exact here).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np

from bimt_tf.analysis.formula_error import Judge, Sample
from bimt_tf.analysis.formula_polynomial import Array, Monomial, Polynomial, monomial_value
from bimt_tf.analysis.formula_program import SUMS, Program

__all__ = ["DEGREE", "fewest_terms", "groups_of", "monomials", "multiplied_out"]

DEGREE = 8  # the highest that is tried
MOST = 600  # monomials that are fitted together
LONGER = 4  # a polynomial of more terms than so many times the program's seldom becomes a shorter one


def multiplied_out(program: Program, judge: Judge, share: float) -> Program:
    """Each output as a polynomial of the variables, where one within the budget makes the program shorter.

    Args:
        program: the network as far as it is simplified.
        judge: says what is near enough; coefficients are fitted to its examples.
        share: of the budget.
    """
    sample = judge.fit
    found: dict[str, Polynomial] = {}
    for number, name in enumerate(program.outputs):
        groups = groups_of(program, name)
        column = sample.network[:, number]

        def allowed(found: Polynomial, name: str = name) -> bool:
            return judge.allows(_replaced(program, {name: found}), share)

        for degree in range(DEGREE + 1):
            names = monomials(groups, degree)
            if len(names) > min(MOST, len(column) // 2, LONGER * program.size):
                break
            if allowed(fitted(names, sample, column)):
                found[name] = fewest_terms(names, sample, column, allowed)
                break
    alone = program
    for name, polynomial in found.items():
        alone = min(alone, _replaced(alone, {name: polynomial}), key=lambda one: one.size)
    return min(_replaced(program, found), alone, key=lambda one: one.size)  # neurons go when no output reads them


def _replaced(program: Program, outputs: Mapping[str, Polynomial]) -> Program:
    """With other polynomials as outputs, and without what is then not read."""
    return replace(program, outputs={**program.outputs, **outputs}).folded()


def groups_of(program: Program, output: str) -> list[frozenset[str]]:
    """The sets of variables that meet in a neuron on the way to an output; the largest ones."""
    reach: dict[str, frozenset[str]] = {name: frozenset([name]) for name in program.variables}
    parts: dict[str, set[frozenset[str]]] = {name: {reach[name]} for name in program.variables}
    for one in program.definitions:
        reach[one.name] = frozenset().union(*(reach[name] for name in one.names))
        meets = [_parts(argument, reach, parts) for argument in one.arguments]
        parts[one.name] = set().union(*meets) if one.function in SUMS else {reach[one.name]}
    found = _parts(program.outputs[output], reach, parts)
    return sorted((one for one in found if not any(one < other for other in found)), key=sorted)


def _parts(
    polynomial: Polynomial, reach: dict[str, frozenset[str]], parts: dict[str, set[frozenset[str]]]
) -> set[frozenset[str]]:
    """The sets that meet in one polynomial's terms."""
    found: set[frozenset[str]] = set()
    for monomial, _ in polynomial:
        if len(monomial) == 1 and monomial[0][1] == 1:
            found |= parts[monomial[0][0]]
        elif monomial:
            found.add(frozenset().union(*(reach[name] for name, _ in monomial)))
    return found


def monomials(groups: Iterable[Iterable[str]], degree: int) -> list[Monomial]:
    """All monomials up to a degree of the variables of one group or another."""
    found: dict[Monomial, None] = {}
    for total in range(degree + 1):
        for group in groups:
            for factors in combinations_with_replacement(sorted(group), total):
                found[tuple((name, factors.count(name)) for name in dict.fromkeys(factors))] = None
    return list(found) or [()]


def fitted(names: Sequence[Monomial], sample: Sample, column: Array) -> Polynomial:
    """The polynomial with these monomials that is nearest to a column [n]."""
    matrix, scale = _matrix(names, sample)
    found = np.linalg.lstsq(matrix, column, rcond=None)[0] / scale
    return Polynomial({name: value for name, value in zip(names, found.tolist(), strict=True) if value != 0})


def fewest_terms(
    names: Sequence[Monomial], sample: Sample, column: Array, allowed: Callable[[Polynomial], bool]
) -> Polynomial:
    """Take out terms, each time the one that costs least, as long as the others can be fitted within the budget."""
    left = list(names)
    found = fitted(left, sample, column)
    while len(left) > 1:
        matrix, _ = _matrix(left, sample)
        best = np.linalg.lstsq(matrix, column, rcond=None)[0]
        inverse = np.linalg.pinv(matrix.T @ matrix, hermitian=True)
        cost = best**2 / np.maximum(np.diag(inverse), 1e-300)
        several = max(1, len(left) // 10) if len(left) > 40 else 1
        for count in dict.fromkeys((several, 1)):
            gone = set(np.argsort(cost)[:count].tolist())
            rest = [name for at, name in enumerate(left) if at not in gone]
            trial = fitted(rest, sample, column)
            if allowed(trial):
                left, found = rest, trial
                break
        else:
            return found
    return found


def _matrix(names: Sequence[Monomial], sample: Sample) -> tuple[Array, Array]:
    """The monomials' values [n, monomials], scaled to at most 1, and the scales."""
    n = len(sample.network)
    matrix = np.stack([np.broadcast_to(monomial_value(name, sample.inputs), (n,)) for name in names], axis=1)
    scale = np.abs(matrix).max(0)
    scale[scale == 0] = 1
    return matrix / scale, scale
