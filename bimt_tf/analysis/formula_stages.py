"""A transformer's intermediate values written as polynomials of its inputs, where that is shorter and near enough.

Much of what a small transformer computes at a token is a function of that token's one number: a polynomial of it says
so. The last values come first, since what only they read then goes with them.
"""

from __future__ import annotations

import numpy as np

from bimt_tf.analysis.formula_activations import is_longer
from bimt_tf.analysis.formula_error import Judge, Sample
from bimt_tf.analysis.formula_polynomial import Array
from bimt_tf.analysis.formula_program import POLYNOMIAL, SCORE, Definition, Program
from bimt_tf.analysis.formula_terms import fitted, monomials

__all__ = ["stages_of_inputs"]

DEGREE = 3
VARIABLES = 2  # of one polynomial, at most


def stages_of_inputs(program: Program, judge: Judge, share: float) -> tuple[Program, list[str]]:
    """Replace what can be; the program, and what was replaced."""
    said: list[str] = []
    names = [one.name for one in program.definitions]
    for number, name in enumerate(reversed(names), start=1):
        reach = _reach(program)
        one = next((one for one in program.definitions if one.name == name), None)
        if one is None or not 0 < len(reach[name]) <= VARIABLES or one.names <= reach[name]:
            continue
        values = program.values(judge.fit.inputs)
        for degree in range(DEGREE + 1):
            instead = _of_inputs(one, values[name], reach[name], degree, judge.fit)
            trial = program.with_definitions({name: (instead,)}).folded()
            if judge.allows(trial, share * number / len(names)) and not is_longer(trial, program):
                program = trial
                said.append(f"{name}: {one.function} by degree {degree} in {', '.join(sorted(reach[name]))}")
                break
    return program, said


def _of_inputs(one: Definition, value: Array, names: frozenset[str], degree: int, fit: Sample) -> Definition:
    """A definition as a polynomial of the inputs."""
    found = fitted(monomials([names], degree), fit, np.asarray(value) + np.zeros(len(fit.network)))
    return one._replace(function=SCORE if one.function == SCORE else POLYNOMIAL, arguments=(found,))


def _reach(program: Program) -> dict[str, frozenset[str]]:
    """The inputs that each name depends on."""
    reach = {name: frozenset([name]) for name in program.variables}
    for one in program.definitions:
        reach[one.name] = frozenset[str]().union(*(reach[name] for name in one.names))
    return reach
