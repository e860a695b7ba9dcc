"""Formulas in letters: as text for a terminal, as Python source, as SymPy expressions and as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from bimt_tf.analysis.formula_functions import ACTIVATIONS, SOFTMAX, symbolic
from bimt_tf.analysis.formula_polynomial import Monomial, Polynomial
from bimt_tf.analysis.formula_program import SUMS, Definition, Program

__all__ = ["as_expression", "as_latex", "as_python", "as_text", "definition_text", "expression_of"]


def as_text(polynomial: Polynomial, times: str = " ", power: str = "^") -> str:
    """A polynomial in one line, low degrees first."""
    if not polynomial.terms:
        return "0"
    words = []
    for monomial, coefficient in sorted(polynomial, key=_order):
        factors = [name if p == 1 else f"{name}{power}{p}" for name, p in monomial if p > 0]
        below = [name if p == -1 else f"{name}{power}{-p}" for name, p in monomial if p < 0]
        size = abs(coefficient)
        number = [] if size == 1 and factors else [_number(size)]
        sign = "-" if coefficient < 0 else "+"
        words.append(f"{sign} {' / '.join([times.join([*number, *factors]), *below])}")
    first, *others = words
    return " ".join([first.removeprefix("+ ").replace("- ", "-"), *others])


def definition_text(one: Definition) -> str:
    """The right side of a definition."""
    arguments = [as_text(argument) for argument in one.arguments]
    if one.function in SUMS:
        return arguments[0]
    if one.function == SOFTMAX:
        return f"softmax({arguments[0]}; {', '.join(arguments[1:])})"
    return f"{one.function}({arguments[0]})"


def _number(size: float) -> str:
    return str(int(size)) if size == int(size) and size < 1e15 else repr(size)


def _order(term: tuple[Monomial, float]) -> tuple[int, list[tuple[str, int]]]:
    monomial, _ = term
    return sum(power for _, power in monomial), [(name, -power) for name, power in monomial]


def as_python(program: Program, about: str) -> str:
    """A module with one function, ``formula``, of the variables; it gives a dict of the outputs."""
    used = sorted({one.function for one in program.definitions} - {*SUMS})
    lines = [f'"""{about}"""', "", *(["import math", ""] if "gelu" in used else []), "import numpy as np", "", ""]
    for name in used:
        if name == SOFTMAX:
            lines += [
                "def softmax(first, *others):",
                "    return 1 / (1 + sum(np.exp(other - first) for other in others))",
            ]
        else:
            lines += [f"def {name}(z):", f"    return {ACTIVATIONS[name].source}"]
        lines += ["", ""]
    lines.append(f"def formula({', '.join(program.variables)}):")
    for one in program.definitions:
        arguments = ", ".join(as_text(argument, " * ", "**") for argument in one.arguments)
        right = arguments if one.function in SUMS else f"{one.function}({arguments})"
        lines.append(f"    {one.name} = {right}  # {one.about}")
    found = ", ".join(f"{name!r}: {as_text(one, ' * ', '**')}" for name, one in program.outputs.items())
    return "\n".join([*lines, f"    return {{{found}}}", ""])


def as_expression(polynomial: Polynomial, meanings: Mapping[str, Any]) -> Any:
    """A polynomial as a SymPy expression, with expressions for names."""
    return sympy.Add(*(
        sympy.Mul(_sympy_number(coefficient), *(meanings[name] ** power for name, power in monomial))
        for monomial, coefficient in sorted(polynomial, key=_order)
    ))  # fmt: skip


def _sympy_number(value: float) -> Any:
    return sympy.Integer(int(value)) if value == int(value) and abs(value) < 1e15 else sympy.Float(value)


def expression_of(one: Definition, meanings: Mapping[str, Any], explicit: bool = False) -> Any:
    """The right side of a definition as a SymPy expression; ``explicit`` writes activations as elementary functions."""
    arguments = [as_expression(argument, meanings) for argument in one.arguments]
    if one.function in SUMS:
        return arguments[0]
    if one.function == SOFTMAX:
        return 1 / (1 + sympy.Add(*(sympy.exp(other - arguments[0]) for other in arguments[1:])))
    return (ACTIVATIONS[one.function].explicit if explicit else symbolic(one.function))(arguments[0])


def as_latex(program: Program) -> str:
    """All definitions and outputs, one a line, aligned at their equal signs."""
    symbols = {name: sympy.Symbol(name) for name in (*program.variables, *(d.name for d in program.definitions))}
    rights = [
        _softmax_latex(one, symbols) if one.function == SOFTMAX else _latex(expression_of(one, symbols))
        for one in program.definitions
    ]
    lines = [f"{_latex_name(one.name)} &= {right}" for one, right in zip(program.definitions, rights, strict=True)]
    lines += [f"{_latex_name(name)} &= {_latex(as_expression(one, symbols))}" for name, one in program.outputs.items()]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _softmax_latex(one: Definition, symbols: Mapping[str, Any]) -> str:
    scores = [_latex(as_expression(argument, symbols)) for argument in one.arguments]
    others = ",\\ ".join(scores[1:])
    return f"\\operatorname{{softmax}}\\left({scores[0]};\\ {others}\\right)"


def _latex(expression: Any) -> str:
    return str(sympy.latex(expression))


def _latex_name(name: str) -> str:
    """A name in LaTeX: a symbol with its indices, or words where it is none."""
    if name.isidentifier():
        return _latex(sympy.Symbol(name))
    escaped = "".join(f"\\{letter}" if letter in "_%&#${}" else letter for letter in name)
    return f"\\text{{{escaped}}}"
