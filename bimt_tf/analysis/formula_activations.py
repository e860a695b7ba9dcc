"""Activations and attention patterns replaced by polynomials, where the network's outputs allow it.

Each is fitted by least squares on the values that its argument takes on the examples; on a narrow range that is its
Taylor polynomial. The coarsest comes first: a constant, then degree 1, 2 ..., and the ReLU in the place of a smooth
activation. What neurons may lose together grows with their number, so that the first leave something for the last.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bimt_tf.analysis.formula_error import Judge
from bimt_tf.analysis.formula_functions import SOFTMAX
from bimt_tf.analysis.formula_polynomial import Array, Monomial, Polynomial, constant
from bimt_tf.analysis.formula_program import POLYNOMIAL, SUMS, Definition, Program

__all__ = ["is_longer", "replace_activations"]


def replace_activations(
    program: Program, judge: Judge, share: float, degree: int, shorter: bool
) -> tuple[Program, list[str]]:
    """Replace what can be; the program, and what was replaced by what, on which range.

    Args:
        program: the network.
        judge: says what is near enough.
        share: of the budget, for all of them together.
        degree: the highest of a polynomial.
        shorter: only where the whole becomes no longer by it.
    """
    todo = [one for one in program.definitions if one.function not in SUMS]
    said: list[str] = []
    for number, one in enumerate(todo, start=1):
        inputs = judge.fit.inputs
        values = program.values(inputs)
        (one,) = (now for now in program.definitions if now.name == one.name)
        for what, instead in _candidates(one, values, degree):
            trial = program.with_definitions({one.name: instead})
            if judge.allows(trial, share * number / len(todo)) and not (shorter and is_longer(trial, program)):
                program = trial
                low, high = (float(f(one.arguments[0].value(values))) for f in (np.min, np.max))
                on = "" if one.function == SOFTMAX else f" on [{low:.2g}, {high:.2g}]"
                said.append(f"{one.name}: {one.function} by {what}{on}")
                break
    return program, said


def is_longer(trial: Program, program: Program) -> bool:
    """Whether a program is longer than another, once polynomials are in their places."""
    return trial.inlined().size > program.inlined().size


def _candidates(one: Definition, values: dict[str, Array], degree: int) -> Iterator[tuple[str, tuple[Definition, ...]]]:
    """What may stand for a definition, the coarsest first."""
    out = np.asarray(one.value(values))
    if one.function == SOFTMAX:
        yield "its mean", (one._replace(function=POLYNOMIAL, arguments=(constant(float(out.mean())),)),)
        names = [f"{one.name}_s{i}" for i in range(len(one.arguments))]
        differences = [argument + one.arguments[0].times(-1) for argument in one.arguments[1:]]
        spreads = [np.asarray(argument.value(values)) + np.zeros_like(out) for argument in differences]
        columns: dict[Monomial, Array] = {((name, 1),): spread for name, spread in zip(names[1:], spreads, strict=True)}
        parts = tuple(
            Definition(name, POLYNOMIAL, (argument,), f"score difference of {one.about}")
            for name, argument in zip(names[1:], differences, strict=True)
        )
        yield "a linear function of its scores", (*parts, _fitted(one, {(): np.ones_like(out), **columns}, out))
        return
    argument = one.arguments[0]
    at = np.asarray(argument.value(values)) + np.zeros_like(out)
    short = len(argument) == 1 and argument.degree == 1 and argument.names
    name = next(iter(argument.names)) if short and argument.terms.get(((next(iter(argument.names)), 1),)) == 1 else None
    before = () if name else (Definition(f"{one.name}_in", POLYNOMIAL, (argument,), f"argument of {one.about}"),)
    name = name or f"{one.name}_in"
    for power in range(degree + 1):
        powers: dict[Monomial, Array] = {(): np.ones_like(at)} | {((name, k),): at**k for k in range(1, power + 1)}
        instead = _fitted(one, powers, out)
        yield ("its mean" if power == 0 else f"degree {power}"), (*before, instead) if power else (instead,)
        if power == 1 and one.function != "relu":
            yield "relu", (one._replace(function="relu"),)


def _fitted(one: Definition, columns: dict[Monomial, Array], out: Array) -> Definition:
    """A definition as the best combination of columns."""
    matrix = np.stack([np.asarray(column) for column in columns.values()], axis=1)
    scale = np.abs(matrix).max(0)
    scale[scale == 0] = 1
    found = np.linalg.lstsq(matrix / scale, out, rcond=None)[0] / scale
    total = constant(0)
    for monomial, coefficient in zip(columns, found.tolist(), strict=True):
        total = total + Polynomial({monomial: coefficient} if coefficient else {})
    return one._replace(function=POLYNOMIAL, arguments=(total,))
