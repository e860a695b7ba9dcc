"""What the stages of a formula are near: a few monomials of the inputs for each named definition, found greedily.

This reads nothing off weights. It says in which simple quantities an intermediate value can be written on these
examples, and how well (R2 on held-out examples); a value that several quantities fit has no unique reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from bimt_tf.analysis.formula_error import Judge, errors
from bimt_tf.analysis.formula_polynomial import Array, Monomial, Polynomial, monomial_value
from bimt_tf.analysis.formula_program import Program
from bimt_tf.analysis.formula_rounding import significant

__all__ = ["Reading", "readings"]

TERMS = 3  # of a reading, beside its constant
ENOUGH = 0.999  # R2 at which no further term is taken
FACTORS = 3  # powers of a monomial, together
MOST_VARIABLES = 6  # with more, monomials are too many to choose from
NOTHING = 1e-6  # of a value: a term below it is rounding
POLE = 0.05  # of a variable's greatest size: nearer to 0 it does not stand below a fraction


class Reading(NamedTuple):
    """``polynomial``: of the inputs, what a definition is near; ``r2`` of it on held-out examples."""

    polynomial: Polynomial
    r2: float


def readings(program: Program, judge: Judge) -> dict[str, Reading]:
    """A reading of each definition that varies; {} where there are more inputs than monomials can be chosen from."""
    fit, held_out = judge.fit, judge.held_out
    if not 0 < len(fit.inputs) <= MOST_VARIABLES:
        return {}
    names = _monomials({name: np.concatenate([fit.inputs[name], held_out.inputs[name]]) for name in fit.inputs})
    columns = np.stack([np.asarray(monomial_value(name, fit.inputs)) for name in names], axis=1)
    values, true = program.values(fit.inputs), program.values(held_out.inputs)
    found: dict[str, Reading] = {}
    for one in program.definitions:
        value = np.asarray(values[one.name])
        if value.ndim and value.std() > 1e-9 * np.abs(value).max():
            nearest = _nearest(names, columns, value, fit.inputs)
            guess = np.asarray(nearest.value(held_out.inputs)) + np.zeros(len(held_out.network))
            r2 = errors(guess[:, None], np.asarray(true[one.name])[:, None]).r2
            if r2 is not None:
                found[one.name] = Reading(nearest, r2)
    return found


def _monomials(inputs: dict[str, Array]) -> list[Monomial]:
    """Those of a few factors; a variable that comes near 0 is never below."""
    powers = [range(-1 if np.abs(column).min() > POLE * np.abs(column).max() else 0, 4) for column in inputs.values()]
    found = [
        tuple(sorted((name, power) for name, power in zip(inputs, chosen, strict=True) if power))
        for chosen in product(*powers)
        if 0 < sum(map(abs, chosen)) <= FACTORS
    ]
    return sorted(found, key=lambda monomial: sum(abs(power) for _, power in monomial))


def _nearest(names: list[Monomial], columns: Array, value: Array, inputs: Mapping[str, Array]) -> Polynomial:
    """A constant and up to three monomials, each the one that helps most beside those before it."""
    chosen: list[int] = []
    basis = np.ones((len(value), 1))
    spread = float(np.square(value - value.mean()).sum())
    while len(chosen) < TERMS:
        orthogonal = np.linalg.qr(basis)[0]
        rest = value - orthogonal @ (orthogonal.T @ value)
        if float(np.square(rest).sum()) <= (1 - ENOUGH) * spread:
            break
        others = columns - orthogonal @ (orthogonal.T @ columns)
        sizes = np.square(others).sum(0)
        gains = np.square(others.T @ rest) / np.where(sizes > 1e-9 * np.square(columns).sum(0), sizes, np.inf)
        chosen.append(int(gains.argmax()))
        basis = np.concatenate([basis, columns[:, chosen[-1:]]], axis=1)
    terms = [(), *(names[at] for at in chosen)]
    matrix = np.stack([np.broadcast_to(monomial_value(one, inputs), value.shape) for one in terms], axis=1)
    found = np.linalg.lstsq(matrix, value, rcond=None)[0]
    counts = np.abs(found) * np.abs(matrix).max(0) > NOTHING * np.abs(value).max()
    kept = zip(terms, found.tolist(), counts.tolist(), strict=True)
    return Polynomial({one: significant(size, 3) for one, size, counted in kept if counted})
