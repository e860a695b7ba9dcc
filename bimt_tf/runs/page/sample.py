"""The held-out examples that a page shows, and what is named of them: task quantities, targets, outputs, inputs.

An example is one input, or of a language model one place in a text: the tokens up to it are what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Data

__all__ = ["MOST_EXAMPLES", "Quantity", "class_names", "held_out_of", "is_language", "named_inputs", "quantities_of"]

MOST_EXAMPLES = 300
"""Held-out examples of a page, at most; its panels name an example by the same number."""
MOST_INPUTS = 16
"""Inputs that are quantities of their own, at most: not the pixels of an image."""


class Quantity(NamedTuple):
    """A number of each example [n]. ``classes``: their names where it is the number of a class.

    ``of``: "task", "target", "output" or "input".
    """

    name: str
    of: str
    values: Tensor
    classes: list[str] | None = None


def held_out_of(run: OpenedRun) -> Data | None:
    """The held-out examples; None of a run of one's own model that was opened without examples."""
    try:
        return run.held_out
    except InputError:
        return None


def is_language(data: Data) -> bool:
    """Whether tokens are predicted at every position of a text."""
    both = (data.inputs, data.targets)
    return all(part.ndim == 2 and not part.is_floating_point() for part in both) and len({p.shape for p in both}) == 1


def class_names(run: OpenedRun, count: int) -> list[str]:
    """A name for each class, by number; the numbers where the task has none."""
    try:
        names = run.task.classes(run.config.data)
    except (KeyError, InputError):
        names = []
    return [str(name) for name in names] if len(names) >= count else [str(i) for i in range(count)]


def named_inputs(run: Trained, count: int) -> list[str]:
    """A name for each input neuron."""
    names = run.task.labels(run.config.data).get("input", [])
    return list(names) if len(names) == count else [f"input {i}" for i in range(count)]


def quantities_of(run: OpenedRun, data: Data, output: Any) -> list[Quantity]:
    """All that is named of some examples, the task's own quantities first; no name twice, no constants.

    Args:
        run: the run.
        data: the examples, one an entry.
        output: what the model gives for them.
    """
    given = [Quantity(name, "task", values) for name, values in data.quantities.items()]
    every = [*given, *_ends(run, data, output), *_inputs(run, data)]
    found: dict[str, Quantity] = {}
    for one in every:
        values = one.values.detach().cpu().double()
        if bool(values.isfinite().all()) and len(values.unique()) > 1:
            found.setdefault(one.name, one._replace(values=values))
    return list(found.values())


def _ends(run: OpenedRun, data: Data, output: Any) -> Iterator[Quantity]:
    """Targets and outputs: the class, the one number that is reported, or each of several numbers."""
    targets, n = data.targets, len(data.targets)
    if not isinstance(output, Tensor):
        return
    if run.task.kind == "classification" or (targets.ndim == 1 and not targets.is_floating_point()):
        if targets.ndim == 1 and output.ndim == 2 and not targets.is_floating_point():
            names = class_names(run, output.shape[1])
            yield Quantity("target class", "target", targets, names)
            yield Quantity("predicted class", "output", output.argmax(-1), names)
        return
    if targets.ndim == 2 and targets.shape == output.shape and targets.shape[1] <= MOST_INPUTS:
        for word, values in (("target", targets), ("output", output)):
            names = run.task.labels(run.config.data).get("output", [])
            for i in range(values.shape[1]):
                name = f" {names[i]}" if i < len(names) else f" {i}" if values.shape[1] > 1 else ""
                yield Quantity(f"{word}{name}", word, values[:, i])
        return
    true, predicted = run.task.reported(run.config.data, output, targets)
    if len(true) == len(predicted) == n:
        yield Quantity("target", "target", true)
        yield Quantity("output", "output", predicted)


def _inputs(run: OpenedRun, data: Data) -> Iterator[Quantity]:
    """Inputs of an MLP, or its tokens; those of a sequence of numbers are told by the task's quantities."""
    if data.inputs.ndim != 2 or data.inputs.shape[1] > MOST_INPUTS:
        return
    count = data.inputs.shape[1]
    numbers = data.inputs.is_floating_point()
    names = named_inputs(run, count) if numbers else [f"token {i}" for i in range(count)]
    for i, name in enumerate(names):
        yield Quantity(name, "input", data.inputs[:, i].to(torch.float64))
