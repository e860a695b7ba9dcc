"""Polynomials with numbers as coefficients: the affine maps, scores and read-outs that formulas are made of.

A monomial is its names and their powers, sorted by name: x1^2 x3 is (("x1", 2), ("x3", 1)), and 1 is (). A power may be
negative where nothing is put in the name's place: x1 / x2 is (("x1", 1), ("x2", -1)). Sums and
products of thousands of terms take milliseconds here, where SymPy's expand takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "Array", "Monomial", "Polynomial", "TooManyTerms", "constant", "monomial_value", "variable",
    "weighted",
]  # fmt: skip

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Monomial: TypeAlias = tuple[tuple[str, int], ...]


class TooManyTerms(Exception):
    """A product has more terms than it may."""


@dataclass(frozen=True)
class Polynomial:
    """``terms``: monomial -> coefficient, none of them 0."""

    terms: Mapping[Monomial, float]

    @property
    def names(self) -> set[str]:
        """The variables that stand in it."""
        return {name for monomial in self.terms for name, _ in monomial}

    @property
    def degree(self) -> int:
        """The highest sum of powers; 0 of a constant."""
        return max((sum(power for _, power in monomial) for monomial in self.terms), default=0)

    @property
    def constant(self) -> float | None:
        """The value of a polynomial without variables; None of others."""
        return self.terms.get((), 0.0) if not self.names else None

    def __len__(self) -> int:
        return len(self.terms)

    def __iter__(self) -> Iterator[tuple[Monomial, float]]:
        return iter(self.terms.items())

    def __add__(self, other: Polynomial) -> Polynomial:
        total = dict(self.terms)
        for monomial, coefficient in other:
            total[monomial] = total.get(monomial, 0.0) + coefficient
        return _without_zeros(total)

    def times(self, factor: float) -> Polynomial:
        """Each coefficient times a number."""
        return _without_zeros({monomial: factor * coefficient for monomial, coefficient in self})

    def product(self, other: Polynomial, most: int | None = None) -> Polynomial:
        """The product, multiplied out.

        Raises:
            TooManyTerms: if it has more than ``most`` terms.
        """
        total: dict[Monomial, float] = {}
        for left, one in self:
            for right, two in other:
                monomial = _joined(left, right)
                total[monomial] = total.get(monomial, 0.0) + one * two
            if most is not None and len(total) > most:
                raise TooManyTerms
        return _without_zeros(total)

    def of(self, meanings: Mapping[str, Polynomial], most: int | None = None) -> Polynomial:
        """With polynomials in the places of some variables, multiplied out.

        Raises:
            TooManyTerms: if it, or a part of it, has more than ``most`` terms.
        """
        total: dict[Monomial, float] = {}
        powers: dict[tuple[str, int], Polynomial] = {}
        for monomial, coefficient in self:
            part = Polynomial({tuple(pair for pair in monomial if pair[0] not in meanings): coefficient})
            for name, power in monomial:
                if name in meanings:
                    part = part.product(_power(meanings[name], name, power, powers, most), most)
            for key, value in part:
                total[key] = total.get(key, 0.0) + value
            if most is not None and len(total) > most:
                raise TooManyTerms
        return _without_zeros(total)

    def value(self, values: Mapping[str, Array]) -> Array | float:
        """Its value where the variables have ``values`` [examples]; a number of a polynomial without variables."""
        total: Array | float = self.terms.get((), 0.0)
        for monomial, coefficient in self:
            if monomial:
                total = total + coefficient * monomial_value(monomial, values)
        return total

    def with_term(self, monomial: Monomial, coefficient: float) -> Polynomial:
        """With another coefficient at one monomial; 0 takes the term out."""
        return _without_zeros({**self.terms, monomial: coefficient})


def monomial_value(monomial: Monomial, values: Mapping[str, Array]) -> Array | float:
    """The product of the powers of a monomial; 1 of ()."""
    product: Array | float = 1.0
    for name, power in monomial:
        value = values[name]
        product = product * (value if power == 1 else np.power(value, float(power) if power < 0 else power))
    return product


def constant(value: float) -> Polynomial:
    """A number as a polynomial."""
    return _without_zeros({(): float(value)})


def variable(name: str, coefficient: float = 1.0) -> Polynomial:
    """A number times one variable."""
    return _without_zeros({((name, 1),): float(coefficient)})


def weighted(weights: Sequence[float], reads: Sequence[Polynomial], bias: float) -> Polynomial:
    """The weighted sum of polynomials, and a bias."""
    total = constant(bias)
    for weight, read in zip(weights, reads, strict=True):
        if weight != 0:
            total = total + read.times(weight)
    return total


def _without_zeros(terms: dict[Monomial, float]) -> Polynomial:
    return Polynomial({monomial: coefficient for monomial, coefficient in terms.items() if coefficient != 0})


def _joined(left: Monomial, right: Monomial) -> Monomial:
    if not left or not right:
        return left or right
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted(powers.items()))


def _power(
    base: Polynomial, name: str, power: int, known: dict[tuple[str, int], Polynomial], most: int | None
) -> Polynomial:
    """A power of what ``name`` stands for; each is computed once."""
    if power == 1:
        return base
    if (name, power) not in known:
        known[name, power] = _power(base, name, power - 1, known, most).product(base, most)
    return known[name, power]
