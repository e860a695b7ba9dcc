"""What a trained network computes, as a formula in the task's own names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.analysis.formula import formula
from bimt_tf.analysis.formula_question import is_name
from bimt_tf.analysis.formula_result import Formula
from bimt_tf.errors import InputError
from bimt_tf.models.modes import evaluating
from bimt_tf.runs.trained import Trained

__all__ = ["EXAMPLES", "FITTED", "read_formula"]

EXAMPLES, FITTED = 2_000, 1_000
"""Held-out examples that errors are stated on, and training examples that polynomials are fitted to, at most."""


class _Read(NamedTuple):
    """What is read of a network: outputs, at a token, and what they should be (None where that is not known)."""

    outputs: list[int]
    position: int | None
    targets: Tensor | None


def read_formula(
    trained: Trained,
    position: int | None = None,
    *,
    r2: float | None = None,
    max_error: float | None = None,
    stages: bool = False,
    told: Callable[[str], None] | None = None,
) -> Formula:
    """The formula of a run's network; of a transformer at the token that the task reports, unless one is given.

    Raises:
        InputError: for what ``formula`` refuses.
    """
    inputs = trained.held_out.inputs[:EXAMPLES]
    if not inputs.is_floating_point():
        raise InputError(
            f"the inputs of {trained.config.task} are tokens, not numbers: a formula is read off networks of numbers"
        )
    read = _what_is_read(trained, inputs, position)
    try:
        fit_inputs = trained.part("train").inputs[:FITTED]
    except InputError:  # held-out examples alone were given; the formula's ``made`` says how many were fitted
        fit_inputs = inputs
    return formula(
        trained.model, inputs, targets=read.targets, fit_inputs=fit_inputs, names=_input_names(trained, inputs),
        outputs=read.outputs, output_names=_output_names(trained, read), position=read.position, r2=r2,
        max_error=max_error, stages=stages, told=told,
    )  # fmt: skip


def _what_is_read(trained: Trained, inputs: Tensor, position: int | None) -> _Read:
    """The outputs whose targets the task has; they are found by what it reports."""
    targets = trained.held_out.targets[: len(inputs)]
    with evaluating(trained.model), torch.no_grad():
        outputs = trained.model(inputs)
    n_outputs = outputs.shape[-1]
    if outputs.ndim == 2:
        fits = targets.is_floating_point() and targets.shape == outputs.shape
        return _Read(list(range(n_outputs)), position, targets if fits else None)
    true, predicted = trained.task.reported(trained.config.data, outputs, targets)
    for token in range(outputs.shape[1]):
        for number in range(n_outputs):
            here = position is None or position % outputs.shape[1] == token
            if predicted.shape == outputs[:, token, number].shape and torch.equal(predicted, outputs[:, token, number]):
                return _Read([number], token if position is None else position, true[:, None] if here else None)
    return _Read(list(range(n_outputs)), position, None)


def _input_names(trained: Trained, inputs: Tensor) -> list[str] | None:
    """The task's names: a quantity that an input is, else its label with its token; None where it has no such names."""
    flat = inputs.flatten(1)
    labels = trained.task.labels(trained.config.data).get("input", [])
    if inputs.ndim == 3:
        labels = [f"{label}_t{token}" for token in range(inputs.shape[1]) for label in labels]
    if len(labels) != flat.shape[1]:
        return None
    quantities = {name: values[: len(inputs)] for name, values in trained.held_out.quantities.items()}
    names = [_quantity(column, quantities) or label for column, label in zip(flat.T, labels, strict=True)]
    return names if all(map(is_name, names)) and len(set(names)) == len(names) else None


def _output_names(trained: Trained, read: _Read) -> list[str] | None:
    """The quantities that the targets are, else the outputs' labels; None where there are no such names."""
    quantities = trained.held_out.quantities
    if read.targets is not None:
        n = len(read.targets)
        found = [_quantity(column, {name: one[:n] for name, one in quantities.items()}) for column in read.targets.T]
        if all(found) and len(set(found)) == len(found):
            return [name for name in found if name]
    labels = trained.task.labels(trained.config.data).get("output", [])
    names = [labels[number] for number in read.outputs] if len(labels) > max(read.outputs) else []
    return names if names and len(set(names)) == len(names) else None


def _quantity(column: Tensor, quantities: dict[str, Tensor]) -> str | None:
    """The name of the quantity that a column is; None of one that never varies."""
    if bool((column == column[0]).all()):
        return None
    same = (name for name, one in quantities.items() if torch.equal(one.to(column), column))
    return next((name for name in same if is_name(name)), None)
