"""A network as a list of named definitions: each a polynomial of earlier names, or one function of polynomials.

It is computed from top to bottom. Names of what is nonlinear stay; what is a polynomial is put into its place wherever
the whole becomes no longer by it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bimt_tf.analysis.formula_functions import ACTIVATIONS, SOFTMAX, softmax
from bimt_tf.analysis.formula_polynomial import Array, Monomial, Polynomial, TooManyTerms, constant

__all__ = ["POLYNOMIAL", "SCORE", "SUMS", "Definition", "Place", "Program"]

POLYNOMIAL, SCORE = "polynomial", "score"
SUMS = (POLYNOMIAL, SCORE)
"""Functions that are their argument; a score keeps its name, so that all shares of a pattern read the same scores."""


class Definition(NamedTuple):
    """``name`` = ``function`` of ``arguments``; ``about`` says in words what it is.

    ``function``: "polynomial" or "score" (of one argument, which it is), an activation (of one), or "softmax": exp of
    the first argument, a score, over the sum of exp of all.
    """

    name: str
    function: str
    arguments: tuple[Polynomial, ...]
    about: str

    @property
    def names(self) -> set[str]:
        """The names that it reads."""
        return set().union(*(argument.names for argument in self.arguments))

    @property
    def size(self) -> int:
        """Terms, and one more for a function."""
        return sum(map(len, self.arguments)) + (self.function not in SUMS)

    def value(self, values: Mapping[str, Array]) -> Array | float:
        """Its value, of the values of earlier names."""
        found = [argument.value(values) for argument in self.arguments]
        if self.function in SUMS:
            return found[0]
        return softmax(found) if self.function == SOFTMAX else ACTIVATIONS[self.function].value(found[0])

    def of(self, meanings: Mapping[str, Polynomial], most: int | None = None) -> Definition:
        """With polynomials in the places of names."""
        if not self.names & meanings.keys():
            return self
        return self._replace(arguments=tuple(argument.of(meanings, most) for argument in self.arguments))


class Place(NamedTuple):
    """Where a coefficient stands: a definition's or an output's name, the argument's number, the monomial."""

    name: str
    argument: int
    monomial: Monomial


@dataclass(frozen=True)
class Program:
    """``variables``: what is read. ``definitions``: in order. ``outputs``: name -> polynomial of all these."""

    variables: tuple[str, ...]
    definitions: tuple[Definition, ...]
    outputs: Mapping[str, Polynomial]

    @property
    def size(self) -> int:
        """How long it is to read: its terms and its functions."""
        return sum(one.size for one in self.definitions) + sum(map(len, self.outputs.values()))

    def values(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All names' values [examples], of the variables' values."""
        known = dict(inputs)
        for one in self.definitions:
            known[one.name] = one.value(known)  # type: ignore[assignment]  # a number where nothing varies
        return known

    def run(self, inputs: Mapping[str, Array], n: int) -> Array:
        """The outputs [n, outputs] of n examples, in the order of ``outputs``."""
        with np.errstate(all="ignore"):  # a trial may overflow; its error then is not finite, and it is not kept
            known = self.values(inputs)
            columns = [np.broadcast_to(output.value(known), (n,)) for output in self.outputs.values()]
        return np.stack(columns, axis=1)

    def with_coefficient(self, place: Place, coefficient: float) -> Program:
        """With another coefficient at one place; 0 takes the term out."""
        if place.name in self.outputs:
            changed = self.outputs[place.name].with_term(place.monomial, coefficient)
            return replace(self, outputs={**self.outputs, place.name: changed})
        return replace(self, definitions=tuple(_set(one, place, coefficient) for one in self.definitions))

    def coefficients(self) -> dict[Place, float]:
        """Every coefficient by its place; not those of a softmax, which reads scores as they are."""
        found = {
            Place(one.name, i, monomial): coefficient
            for one in self.definitions
            if one.function != SOFTMAX
            for i, argument in enumerate(one.arguments)
            for monomial, coefficient in argument
        }
        return found | {
            Place(name, 0, monomial): coefficient
            for name, output in self.outputs.items()
            for monomial, coefficient in output
        }

    def with_definitions(self, changed: Mapping[str, Sequence[Definition]]) -> Program:
        """With one or several definitions in the place of one."""
        found = tuple(new for old in self.definitions for new in changed.get(old.name, (old,)))
        return replace(self, definitions=found)

    def folded(self) -> Program:
        """Without what is constant, and without what no output reads."""
        known: dict[str, Polynomial] = {}
        scores: dict[str, Polynomial] = {}
        kept: list[Definition] = []
        for one in self.definitions:
            now = one.of(known)
            still = now.of(scores) if now.function == SOFTMAX else now
            if any(argument.constant is None for argument in still.arguments):
                kept.append(now)
            elif now.function == SCORE:
                scores[now.name] = now.arguments[0]
                kept.append(now)
            else:
                known[now.name] = constant(float(still.value({})))
        return _read(replace(self, definitions=tuple(kept), outputs={k: p.of(known) for k, p in self.outputs.items()}))

    def inlined(self, named: frozenset[str] = frozenset()) -> Program:
        """With polynomials in the places of their names, wherever that makes it no longer; ``named`` stay."""
        program = self.folded()
        changed = True
        while changed:
            changed = False
            for name in [one.name for one in program.definitions if one.name not in named]:
                (one,) = (one for one in program.definitions if one.name == name)
                shorter = _without(program, one) if one.function == POLYNOMIAL else None
                if shorter is not None and shorter.size <= program.size:
                    program, changed = shorter, True
        return _same_taken_off(program).folded()


def _set(one: Definition, place: Place, coefficient: float) -> Definition:
    if one.name != place.name:
        return one
    arguments = list(one.arguments)
    arguments[place.argument] = arguments[place.argument].with_term(place.monomial, coefficient)
    return one._replace(arguments=tuple(arguments))


def _same_taken_off(program: Program) -> Program:
    """With scores without the terms that all scores of one pattern share, which a softmax does not see."""
    scores = {one.name: one.arguments[0] for one in program.definitions if one.function == SCORE}
    patterns = {frozenset(one.names) for one in program.definitions if one.function == SOFTMAX}
    for names in patterns:
        first, *others = (scores[name] for name in sorted(names))
        shared = {
            monomial
            for monomial, coefficient in first
            if all(math.isclose(other.terms.get(monomial, 0.0), coefficient, rel_tol=1e-12) for other in others)
        }
        off = {name: Polynomial({m: c for m, c in scores[name] if m not in shared}) for name in names}
        program = program.with_definitions({
            one.name: (one._replace(arguments=(off[one.name],)),) for one in program.definitions if one.name in off
        })  # fmt: skip
    return program


def _read(program: Program) -> Program:
    """Without definitions that no output reads."""
    needed = set().union(*(output.names for output in program.outputs.values()))
    kept = []
    for one in reversed(program.definitions):
        if one.name in needed:
            needed |= one.names
            kept.append(one)
    return replace(program, definitions=tuple(reversed(kept)))


def _without(program: Program, gone: Definition) -> Program | None:
    """With a polynomial in its places; None if that makes a product too long."""
    uses = Counter(name for one in program.definitions for name in one.names)
    most = program.size
    if uses[gone.name] == 0 and not any(gone.name in output.names for output in program.outputs.values()):
        return _read(program)
    meaning = {gone.name: gone.arguments[0]}
    try:
        return replace(
            program,
            definitions=tuple(one.of(meaning, most) for one in program.definitions if one.name != gone.name),
            outputs={name: output.of(meaning, most) for name, output in program.outputs.items()},
        )
    except TooManyTerms:
        return None
