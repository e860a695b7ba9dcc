"""Coefficients left out, and rounded to the fewest digits, as far as the network's outputs allow it."""

from __future__ import annotations

import numpy as np

from bimt_tf.analysis.formula_error import Judge
from bimt_tf.analysis.formula_polynomial import monomial_value
from bimt_tf.analysis.formula_program import Place, Program

__all__ = ["drop_small", "rounded", "significant"]

DIGITS = 12  # tried at most for all coefficients together; float64 has 15
FAILED = 40  # coefficients in a row that cannot be left out, after which no other is tried
TRIALS = 500  # programs computed at most by each of the two, so that any network takes seconds


def significant(value: float, digits: int) -> float:
    """A number with so many significant digits."""
    return float(f"{value:.{digits - 1}e}")


def drop_small(program: Program, judge: Judge, share: float) -> Program:
    """Leave out coefficients, the least first; where a sum has a constant, it takes over what they are on average."""
    order = _least_first(program, judge)
    failed = 0
    for place, mean in order[:TRIALS]:
        trials = _without(program, place, mean)
        kept = next((trial for trial in trials if judge.allows(trial, share)), None)
        program, failed = (program, failed + 1) if kept is None else (kept, 0)
        if failed == FAILED:  # those that follow matter more
            break
    return program.folded()


def rounded(program: Program, judge: Judge, share: float) -> Program:
    """Round all coefficients to the fewest digits together that stay within the budget, then each to fewer alone."""
    digits = next(
        (digits for digits in range(1, DIGITS + 1) if judge.allows(_all_to(program, digits), share)), DIGITS + 1
    )
    if digits > DIGITS:
        return program
    found = _all_to(program, digits)
    trials = 0
    for place, coefficient in program.coefficients().items():
        for fewer in range(1, digits):
            if trials == TRIALS:
                return found.folded()
            now = significant(coefficient, fewer)
            if now == found.coefficients().get(place):
                break
            trials += 1
            trial = found.with_coefficient(place, now)
            if judge.allows(trial, share):
                found = trial
                break
    return found.folded()


def _all_to(program: Program, digits: int) -> Program:
    for place, coefficient in program.coefficients().items():
        program = program.with_coefficient(place, significant(coefficient, digits))
    return program


def _least_first(program: Program, judge: Judge) -> list[tuple[Place, float]]:
    """Places by how much their term varies beside the sum it is in, and what each term is on average."""
    values = program.values(judge.fit.inputs)
    sums = {one.name: one.arguments for one in program.definitions}
    sums |= {name: (output,) for name, output in program.outputs.items()}
    found = []
    for place, coefficient in program.coefficients().items():
        term = coefficient * np.asarray(monomial_value(place.monomial, values))
        spread = float(np.std(np.asarray(sums[place.name][place.argument].value(values)))) or 1.0
        size = float(term.std()) if place.monomial else abs(float(term))
        found.append((size / spread, place, float(term.mean())))
    return [(place, mean) for _, place, mean in sorted(found, key=lambda one: one[0])]


def _without(program: Program, place: Place, mean: float) -> list[Program]:
    """The program without a term; and, if its sum has a constant, with the term's mean in it."""
    plain = program.with_coefficient(place, 0.0)
    at_constant = place._replace(monomial=())
    held = program.coefficients().get(at_constant)
    if not place.monomial or held is None:
        return [plain]
    return [plain, plain.with_coefficient(at_constant, held + mean)]
