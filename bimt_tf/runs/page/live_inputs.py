"""For the page: the numbers and tokens that a reader may change, with names and ranges from the held-out examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.runs.page.sample import named_inputs
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.groups import GroupTask

__all__ = ["LiveInput", "live_inputs", "with_positions"]


class LiveInput(NamedTuple):
    """One number of an example: at ``position`` and ``feature``, between ``low`` and ``high`` in the held-out examples.

    ``choices``: of a token, what each is called; None for other numbers.
    """

    name: str
    position: int
    feature: int
    low: float
    high: float
    choices: list[str] | None = None


def live_inputs(trained: Trained) -> list[LiveInput]:
    """The inputs that vary over the held-out examples; what is the same in all, such as padding, is left out.

    An input that is one of the task's quantities has its name.
    """
    held_out = trained.held_out
    if isinstance(trained.model, TokenMLP):
        vocab = trained.model.cfg.vocab
        choices = trained.task.elements(trained.config.data) if isinstance(trained.task, GroupTask) else None
        choices = choices if choices is not None and len(choices) == vocab else [str(i) for i in range(vocab)]
        tokens = held_out.inputs.shape[1]
        return [LiveInput(f"token {i}", i, 0, 0, vocab - 1, choices) for i in range(tokens)]
    inputs = with_positions(held_out.inputs).double().cpu()
    names = named_inputs(trained, inputs.shape[2])
    found = []
    for position in range(inputs.shape[1]):
        for feature in range(inputs.shape[2]):
            values = inputs[:, position, feature]
            if len(values) > 1 and bool((values == values[0]).all()):
                continue
            usual = names[feature] if inputs.shape[1] == 1 else f"{names[feature]}, token {position}"
            name = _quantity(values, held_out.quantities) or usual
            found.append(LiveInput(name, position, feature, float(values.min()), float(values.max())))
    return found


def with_positions(inputs: Tensor) -> Tensor:
    """Examples as [n, positions, features]: tokens have one feature, a vector one position."""
    if inputs.ndim == 3:
        return inputs
    return inputs[:, None] if inputs.is_floating_point() else inputs[:, :, None]


def _quantity(values: Tensor, quantities: Mapping[str, Tensor]) -> str | None:
    """The first quantity that is this input."""
    return next((name for name, own in quantities.items() if torch.equal(own.double().cpu(), values)), None)
