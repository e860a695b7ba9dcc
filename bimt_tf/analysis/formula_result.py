"""Formula: what a network computes, in letters, with the error of every step that made it shorter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import sympy

from bimt_tf.analysis.formula_error import Budget, Errors
from bimt_tf.analysis.formula_meaning import Reading
from bimt_tf.analysis.formula_polynomial import Array
from bimt_tf.analysis.formula_program import Program
from bimt_tf.analysis.formula_spelling import (
    as_expression,
    as_latex,
    as_python,
    as_text,
    definition_text,
    expression_of,
)
from bimt_tf.errors import InputError

__all__ = ["Formula", "FormulaMade", "Step", "Written"]

LONGEST = 20_000  # terms of an expression that is written out whole


class Step(NamedTuple):
    """``what`` was done, how long the formula then is (terms and functions), and its errors on held-out examples.

    ``network``: against the network. ``targets``: against the targets, None where there are none. ``details``: what was
    replaced by what, on which range.
    """

    what: str
    size: int
    network: Errors
    targets: Errors | None
    details: tuple[str, ...] = ()


class Written(NamedTuple):
    """A formula's text: definitions from top to bottom, then the outputs."""

    program: Program

    @property
    def variables(self) -> tuple[str, ...]:
        """The inputs that it reads."""
        read = {name for one in self.program.definitions for name in one.names}
        read |= {name for one in self.program.outputs.values() for name in one.names}
        return tuple(name for name in self.program.variables if name in read)

    @property
    def lines(self) -> list[str]:
        """One line a definition, then one an output."""
        return [
            *(f"{one.name} = {definition_text(one)}" for one in self.program.definitions),
            *(f"{name} = {as_text(one)}" for name, one in self.program.outputs.items()),
        ]

    @property
    def definitions(self) -> dict[Any, Any]:
        """SymPy symbol -> what it stands for, of earlier symbols and the variables."""
        symbols = _symbols(self.program)
        return {symbols[one.name]: expression_of(one, symbols) for one in self.program.definitions}

    @property
    def outputs(self) -> dict[str, Any]:
        """Output -> SymPy expression of the definitions' symbols and the variables."""
        symbols = _symbols(self.program)
        return {name: as_expression(one, symbols) for name, one in self.program.outputs.items()}

    def expressions(self, *, explicit: bool = False) -> dict[str, Any]:
        """Output -> SymPy expression of the variables alone.

        Args:
            explicit: write activations as elementary functions, silu(z) as z / (1 + exp(-z)); SymPy can then derive.

        Raises:
            InputError: if one would have more than 20,000 terms; the definitions stay readable.
        """
        program = self.program
        length: dict[str, int] = dict.fromkeys(program.variables, 1)
        for one in program.definitions:
            length[one.name] = sum(_length(argument.terms, length) for argument in one.arguments) + 1
        for name, output in program.outputs.items():
            if (terms := _length(output.terms, length)) > LONGEST:
                raise InputError(
                    f"{name} written out whole has about {terms:,} terms, more than {LONGEST:,}: read the definitions"
                )
        meanings: dict[str, Any] = {name: sympy.Symbol(name) for name in program.variables}
        for one in program.definitions:
            meanings[one.name] = expression_of(one, meanings, explicit)
        return {name: as_expression(output, meanings) for name, output in program.outputs.items()}

    def latex(self) -> str:
        """Definitions and outputs in LaTeX, aligned at their equal signs."""
        return as_latex(self.program)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The outputs [n] of the variables' values [n], in NumPy.

        Raises:
            InputError: if a variable is missing.
        """
        missing = [name for name in self.variables if name not in inputs]
        if missing:
            raise InputError(f"the formula reads {', '.join(self.variables)}: {', '.join(missing)} is missing")
        values = {name: np.asarray(inputs[name], dtype=np.float64) for name in self.variables}
        n = len(np.atleast_1d(next(iter(values.values())))) if values else 1
        found = self.program.run({name: np.atleast_1d(value) for name, value in values.items()}, n)
        return {name: found[:, at] for at, name in enumerate(self.program.outputs)}


class FormulaMade(NamedTuple):
    """How a formula was made.

    ``examples``: held-out ones, on which errors are stated; ``fitted_examples``: those of the fits; ``position``: the
    token that is read, None of a network without tokens. ``parameters``: weights and biases of the network that do
    something; ``constant_inputs``: inputs that never vary, and what they are.
    """

    examples: int
    fitted_examples: int
    position: int | None
    budget: Budget
    parameters: int
    constant_inputs: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain words and numbers, for JSON."""
        return {**self._asdict(), "budget": self.budget._asdict()}


class Formula(NamedTuple):
    """What a network computes.

    ``written``: the formula. ``steps``: how it came about, the network itself first. ``recognised``: a short formula
    for the same function that was found by its shape, with its errors in ``recognised_step``; both None if none was.
    ``exact``: the network without any approximation. ``readings``: definition -> what it is near in the inputs' terms.
    ``notes``: what a reader must know.
    """

    written: Written
    steps: tuple[Step, ...]
    recognised: Written | None
    recognised_step: Step | None
    exact: Written
    readings: Mapping[str, Reading]
    notes: tuple[str, ...]
    made: FormulaMade

    @property
    def r2(self) -> float | None:
        """R2 of the formula against the network on held-out examples, of the worst output."""
        return self.steps[-1].network.r2

    @property
    def r2_targets(self) -> float | None:
        """The same against the targets; None where there are none."""
        last = self.steps[-1].targets
        return None if last is None else last.r2

    @property
    def size(self) -> int:
        """Terms and functions of the formula."""
        return self.written.program.size

    @property
    def variables(self) -> tuple[str, ...]:
        """The inputs that it reads."""
        return self.written.variables

    @property
    def expressions(self) -> dict[str, Any]:
        """As :meth:`Written.expressions` of the formula."""
        return self.written.expressions()

    def latex(self) -> str:
        """The formula in LaTeX."""
        return self.written.latex()

    def python(self) -> str:
        """A Python module with a function ``formula(variables...)`` that gives a dict of outputs; it needs NumPy."""
        last = self.steps[-1].network
        off = f"greatest error {last.max:.2g}" + ("" if last.r2 is None else f", R2 {last.r2:.6f}")
        about = f"A network's formula; against the network on {self.made.examples} held-out examples: {off}."
        return as_python(self.written.program, about)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The outputs [n] of the variables' values [n].

        Raises:
            InputError: if a variable is missing.
        """
        return self.written(inputs)

    def as_dict(self) -> dict[str, Any]:
        """Plain words and numbers, for JSON."""
        return {
            "variables": self.variables,
            "formula": self.written.lines,
            "about": {one.name: one.about for one in self.written.program.definitions},
            "readings": {name: {"near": as_text(one.polynomial), "r2": one.r2} for name, one in self.readings.items()},
            "latex": self.latex(),
            "size": self.size,
            "r2": self.r2,
            "r2_targets": self.r2_targets,
            "steps": [_plain(step) for step in self.steps],
            "recognised": None
            if self.recognised is None or self.recognised_step is None
            else {"formula": self.recognised.lines, **_plain(self.recognised_step)},
            "notes": self.notes,
            "made": self.made.as_dict(),
        }

    def __repr__(self) -> str:
        outputs = ", ".join(self.written.program.outputs)
        r2 = "not defined" if self.r2 is None else f"{self.r2:.6f}"
        return f"Formula({outputs} of {', '.join(self.variables)}: {self.size} terms and functions, R2 {r2})"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"


def _plain(step: Step) -> dict[str, Any]:
    targets = None if step.targets is None else step.targets._asdict()
    details = {"details": step.details} if step.details else {}
    return {"what": step.what, "size": step.size, "network": step.network._asdict(), "targets": targets, **details}


def _symbols(program: Program) -> dict[str, Any]:
    return {name: sympy.Symbol(name) for name in (*program.variables, *(one.name for one in program.definitions))}


def _length(terms: Mapping[Any, float], length: Mapping[str, int]) -> int:
    """Terms of a polynomial when its names are written out."""
    return sum(1 + sum(length[name] for name, _ in monomial) for monomial in terms)
