"""Shapes that a part of a function may have: a power law, a polynomial, one of a weighted sum, a sine, a root.

A part is a function of some variables, given by its values at examples. Each shape is fitted to it and comes as
definitions and a polynomial of them, which are computed, rounded and printed as a network's are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from bimt_tf.analysis.formula_error import Sample
from bimt_tf.analysis.formula_functions import ACTIVATIONS
from bimt_tf.analysis.formula_polynomial import Array, Polynomial, monomial_value, variable, weighted
from bimt_tf.analysis.formula_program import POLYNOMIAL, Definition
from bimt_tf.analysis.formula_terms import fewest_terms, fitted, monomials

__all__ = ["Part", "Shape", "shapes"]

POWERS = (1, 2, -1, -2)  # of a power law, the simplest first
STRAIGHT = 0.999  # share of the gradients' squares in one direction: the part is a function of one weighted sum
WAVES = (0.5, 14.0, 28)  # of a sine: lowest and highest angle passed on the range of its argument, and how many tried


class Part(NamedTuple):
    """A function of ``names``: its values [n] at the sample, and its gradients [n, names] there.

    ``allowed`` says whether values [n] are near enough.
    """

    names: tuple[str, ...]
    inputs: Mapping[str, Array]
    values: Array
    gradients: Array
    allowed: Callable[[Array], bool]


class Shape(NamedTuple):
    """``what`` in words, the definitions, and the polynomial of them that the part is."""

    what: str
    definitions: tuple[Definition, ...]
    total: Polynomial

    @property
    def size(self) -> int:
        """Terms and functions; its constant is that of the whole."""
        return sum(one.size for one in self.definitions) + len(self.total) - (() in self.total.terms)


def shapes(part: Part) -> Iterator[Shape]:
    """The shapes that the part has, within what is allowed; a polynomial, which can be near anything, comes last."""
    yield from _power_laws(part)
    yield from _roots(part)
    if len(part.names) == 1:
        yield from _sines(part, part.names[0], part.inputs, ())
    yield from _polynomial(part, part.names, part.inputs, (), "polynomial")
    if len(part.names) == 1:
        return
    _, sizes, directions = np.linalg.svd(part.gradients, full_matrices=False)
    if sizes[0] ** 2 < STRAIGHT * (sizes**2).sum():
        return
    weights = directions[0] / directions[0][np.abs(directions[0]).argmax()]
    sum_of = weighted(weights.tolist(), [variable(name) for name in part.names], 0.0)
    name = f"u_{'_'.join(part.names)}"
    before = (Definition(name, POLYNOMIAL, (sum_of,), f"a weighted sum of {', '.join(part.names)}"),)
    inputs = {**part.inputs, name: np.asarray(sum_of.value(part.inputs))}
    yield from _sines(part, name, inputs, before)
    yield from _polynomial(part, (name,), inputs, before, "polynomial of one weighted sum")


def _polynomial(
    part: Part, names: Sequence[str], inputs: Mapping[str, Array], before: tuple[Definition, ...], what: str
) -> Iterator[Shape]:
    """The lowest degree that will do, with as few terms as will do."""
    sample = Sample(inputs, part.values[:, None])

    def allowed(found: Polynomial) -> bool:
        return part.allowed(found.value(inputs) + np.zeros_like(part.values))

    for degree in range(1, 7):
        terms = monomials([names], degree)
        if len(terms) <= len(part.values) // 4 and allowed(fitted(terms, sample, part.values)):
            yield Shape(what, before, fewest_terms(terms, sample, part.values, allowed))
            return


def _power_laws(part: Part) -> Iterator[Shape]:
    """A number times a product of powers of all variables, and a constant."""
    if len(part.names) > 4:
        return
    for powers in product(POWERS, repeat=len(part.names)):
        below = [name for name, power in zip(part.names, powers, strict=True) if power < 0]
        if any(np.abs(part.inputs[name]).min() < 1e-2 * np.abs(part.inputs[name]).max() for name in below):
            continue  # a pole among the examples
        monomial = tuple(sorted(zip(part.names, powers, strict=True)))
        found = fitted([(), monomial], Sample(part.inputs, part.values[:, None]), part.values)
        if part.allowed(found.value(part.inputs) + np.zeros_like(part.values)):
            yield Shape("power law", (), found)
            return


def _sines(part: Part, name: str, inputs: Mapping[str, Array], before: tuple[Definition, ...]) -> Iterator[Shape]:
    """A sine of one variable, with a constant, and with a line or a square where it needs one."""
    at = inputs[name]
    span = float(np.ptp(at)) or 1.0
    low, high, steps = WAVES
    for extra, with_phase in product(([], [((name, 1),)], [((name, 2),)]), (False, True)):
        columns = [np.ones_like(at), *(np.asarray(monomial_value(one, inputs)) for one in extra)]

        def solved(wave: float, columns: list[Array] = columns, with_phase: bool = with_phase) -> tuple[Array, Array]:
            shifted = [np.cos(wave * at)] if with_phase else []
            matrix = np.stack([*columns, *shifted, np.sin(wave * at)], axis=1)
            found = np.linalg.lstsq(matrix, part.values, rcond=None)[0]
            return found, matrix @ found

        def loss(wave: float, solved: Callable[[float], tuple[Array, Array]] = solved) -> float:
            return float(np.square(solved(wave)[1] - part.values).sum())

        grid = np.linspace(low / span, high / span, steps)
        best = float(grid[int(np.argmin([loss(wave) for wave in grid]))])
        step = float(grid[1] - grid[0])
        wave = float(minimize_scalar(loss, bounds=(max(best - step, 1e-3), best + step), method="bounded").x)
        found, values = solved(wave)
        if part.allowed(values):
            *others, sine = found.tolist()
            cosine = others.pop() if with_phase else 0.0
            phase = float(np.arctan2(cosine, sine))
            turn = round(phase / np.pi)  # a phase near pi is a minus sign
            height = float(np.hypot(sine, cosine)) * (-1) ** turn
            argument = weighted([wave], [variable(name)], phase - np.pi * turn)
            total = Polynomial(dict(zip([(), *extra, (((f"sin_{name}"), 1),)], [*others, height], strict=True)))
            yield Shape("sine", (*before, Definition(f"sin_{name}", "sin", (argument,), f"a sine of {name}")), total)
            return


def _roots(part: Part) -> Iterator[Shape]:
    """The square root of a polynomial of degree 2; of values of one sign."""
    sign = 1.0 if part.values.mean() > 0 else -1.0
    if (sign * part.values).min() < -0.05 * np.abs(part.values).max():
        return
    squares = np.square(part.values)
    sample = Sample(part.inputs, squares[:, None])

    def allowed(found: Polynomial) -> bool:
        return part.allowed(sign * ACTIVATIONS["sqrt"].value(found.value(part.inputs) + np.zeros_like(squares)))

    terms = monomials([part.names], 2)
    if allowed(fitted(terms, sample, squares)):
        fewest = fewest_terms(terms, sample, squares, allowed)
        name = f"root_{'_'.join(part.names)}"
        yield Shape(
            "square root", (Definition(name, "sqrt", (fewest,), "the root of a polynomial"),), variable(name, sign)
        )
