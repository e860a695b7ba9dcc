"""A short formula for what the network computes, whatever way it computes it: found by shape, not read off weights.

Variables that meet (the change that one makes depends on the other) belong to one part; parts add up. Each part takes
the shortest shape (formula_shapes.py) that is near enough; the numbers before them are then fitted together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import networkx as nx
import numpy as np

from bimt_tf.analysis.formula_error import Judge, Sample
from bimt_tf.analysis.formula_polynomial import Array, Polynomial, constant
from bimt_tf.analysis.formula_program import Definition, Program
from bimt_tf.analysis.formula_shapes import Part, Shape, shapes
from bimt_tf.analysis.formula_terms import fitted

__all__ = ["recognised"]

Compute: TypeAlias = Callable[[dict[str, Array], int], Array]

MEETS = (30.0, 1.0)  # a change that depends on another variable counts above so many times the budget: tried in turn
EXAMPLES = 1_000  # that shapes are fitted to
STEP = 1e-3  # of a gradient, in ranges of the variable


def recognised(program: Program, judge: Judge, share: float) -> Program | None:
    """The shortest sum of shapes for every output that stays within a share of the budget; None if one has none.

    Args:
        program: the network, exactly.
        judge: says what is near enough; shapes are fitted to its examples.
        share: of the budget.
    """
    sample = judge.fit
    n = min(EXAMPLES, len(sample.network))
    inputs = {name: column[-n:] for name, column in sample.inputs.items()}
    found = (_all(program, judge, inputs, n, share, meets) for meets in MEETS)
    return next((one for one in found if one is not None and judge.allows(one, share)), None)


def _all(
    program: Program, judge: Judge, inputs: dict[str, Array], n: int, share: float, meets: float
) -> Program | None:
    """Every output as a sum of shapes; None if one has none."""
    definitions: dict[str, Definition] = {}
    outputs: dict[str, Polynomial] = {}
    for number, name in enumerate(program.outputs):

        def compute(values: dict[str, Array], n: int, number: int = number) -> Array:
            return program.run(values, n)[:, number]

        found = _one(compute, inputs, n, judge, share, meets)
        if found is None:
            return None
        renamed = {one.name: _free(one, {*definitions, *program.variables}) for one in found[0]}
        definitions |= {renamed[one.name]: _renamed(one, renamed) for one in found[0]}
        outputs[name] = _names(found[1], renamed)
    return Program(program.variables, tuple(definitions.values()), outputs).folded()


def _one(
    compute: Compute, inputs: dict[str, Array], n: int, judge: Judge, share: float, meets: float
) -> tuple[list[Definition], Polynomial] | None:
    """Definitions and polynomial of one output."""
    values = compute(inputs, n)
    budget = judge.budget
    if budget.max_error is not None:
        most = float((share * budget.max_error / 3) ** 2)  # three times the root mean square is rarely passed
    else:
        assert budget.r2 is not None
        most = share * (1 - budget.r2) * float(values.var())
    middle = {name: np.full(n, np.median(column)) for name, column in inputs.items()}
    groups = _groups(compute, inputs, n, most, meets)
    chosen: list[Shape] = []
    for group in groups:
        alone = {name: column if name in group else middle[name] for name, column in inputs.items()}
        of_group = values if len(groups) == 1 else compute(alone, n)
        gradients = np.stack([_gradient(compute, alone, name, n) for name in group], axis=1)

        def allowed(found: Array, true: Array = of_group) -> bool:
            return bool(np.square(found - true).mean() <= 0.8 * most / len(groups))

        part = Part(group, {name: inputs[name] for name in group}, of_group, gradients, allowed)
        found = sorted(shapes(part), key=lambda shape: shape.size)
        if not found:
            return None
        chosen.append(found[0])
    return _together(chosen, inputs, values)


def _groups(compute: Compute, inputs: dict[str, Array], n: int, most: float, meets: float) -> list[tuple[str, ...]]:
    """The variables that the output depends on, those together that meet."""
    other = {name: np.roll(column, n // 2 + 1) for name, column in inputs.items()}
    base = compute(inputs, n)
    changed = {name: compute({**inputs, name: other[name]}, n) for name in inputs}
    graph = nx.Graph()
    graph.add_nodes_from(name for name in inputs if np.square(changed[name] - base).mean() > 0.01 * most)
    names = list(graph)
    for at, one in enumerate(names):
        for two in names[at + 1 :]:
            both = compute({**inputs, one: other[one], two: other[two]}, n)
            if np.square(both - changed[one] - changed[two] + base).mean() > meets * most:
                graph.add_edge(one, two)
    return [tuple(name for name in names if name in group) for group in nx.connected_components(graph)]


def _gradient(compute: Compute, at: dict[str, Array], name: str, n: int) -> Array:
    """The change with one variable, at each example."""
    step = STEP * (float(np.ptp(at[name])) or 1.0)
    up, down = (compute({**at, name: at[name] + side * step}, n) for side in (1, -1))
    return (up - down) / (2 * step)


def _together(chosen: list[Shape], inputs: dict[str, Array], values: Array) -> tuple[list[Definition], Polynomial]:
    """The parts' terms, fitted to the output together with one constant."""
    definitions = [one for shape in chosen for one in shape.definitions]
    terms = list(dict.fromkeys([(), *(monomial for shape in chosen for monomial in shape.total.terms)]))
    known = Program((), tuple(definitions), {}).values(inputs)
    return definitions, fitted(terms, Sample(known, values[:, None]), values) if terms else constant(0)


def _free(one: Definition, taken: set[str]) -> str:
    """A definition's name, with a number behind it where it is given away."""
    name, number = one.name, 1
    while name in taken:
        name, number = f"{one.name}_{number}", number + 1
    return name


def _renamed(one: Definition, names: dict[str, str]) -> Definition:
    return one._replace(name=names[one.name], arguments=tuple(_names(argument, names) for argument in one.arguments))


def _names(polynomial: Polynomial, names: dict[str, str]) -> Polynomial:
    """With other names for some variables."""
    return Polynomial({
        tuple(sorted((names.get(name, name), power) for name, power in monomial)): coefficient
        for monomial, coefficient in polynomial
    })  # fmt: skip
