"""Pairs of a run's held-out examples for interventions, and how the task reads an output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from bimt_tf.errors import InputError, require_known, require_seed, require_whole, unknown
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Counterfactual, Data
from bimt_tf.tasks.kinds import Classification

__all__ = ["Others", "OwnPairs", "Pairs", "pairs_of", "target_of"]

Others = Literal["same", "own"]
"""Run B differs from run A in the quantity alone ("same"), or is another example with its own numbers ("own")."""

OwnPairs = tuple[Tensor, Tensor, Tensor]
"""Inputs of A, inputs of B, and the task's targets of A with what is looked for of B."""


class Pairs(NamedTuple):
    """``inputs`` of run A and ``source`` of run B; what should be read of A's output, and how it is read.

    ``read`` and ``wanted``: what the task reports, numbers or answers. ``read_numbers`` and ``wanted_numbers``: the
    same, but of a classification the logits, wanted as the network gives them for ``changed``.
    """

    inputs: Tensor
    source: Tensor
    wanted: Tensor
    read: Callable[[Any], Tensor]
    wanted_numbers: Tensor
    read_numbers: Callable[[Any], Tensor]
    target: str

    @property
    def three(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, source and wanted, as the analyses take them."""
        return self.inputs, self.source, self.wanted


def target_of(trained: Trained, target: str | None, optional: bool = False) -> str:
    """The quantity that pairs differ in: the named one, or the first that the task can change.

    Raises:
        InputError: for one that it cannot change (the near ones are listed); with a task that can change none, unless
            ``optional`` and none is named, then "".
    """
    task, options = trained.task, trained.config.data
    known = task.changeable(options)
    if not known and optional and target is None:
        return ""
    if not known:
        raise InputError(
            f"{task.name} does not say how one quantity of an example is changed alone (Task.counterfactual): from "
            "Python, pairs=(inputs of A, inputs of B, targets of A with what is looked for of B) would do"
        )
    if target is None:
        return known[0]
    if target not in known:
        raise unknown(f"quantity of {task.name} to change", str(target), known)
    return target


def pairs_of(trained: Trained, target: str | None, pairs: int | OwnPairs, others: Others, seed: int) -> Pairs:
    """Pairs for a quantity of the task, or the user's own.

    Args:
        trained: the run.
        target: what A gets of B, one of the task's ``changeable``; the first of them unless given.
        pairs: of how many held-out examples pairs are made (all where there are fewer), or pairs of one's own.
        others: what else of B is its own.
        seed: of who is whose partner.

    Raises:
        InputError: for a task that makes no pairs, a quantity that it cannot change, or pairs that do not match.
    """
    require_known("others", others, ("same", "own"))
    require_seed(seed)
    options = trained.config.data
    if isinstance(pairs, tuple):
        made, name = _own(trained, pairs), target or "given pairs"
    else:
        require_whole("pairs", pairs, at_least=2)
        name = target_of(trained, target)
        held = trained.held_out
        some = Data(
            held.inputs[:pairs], held.targets[:pairs], {key: value[:pairs] for key, value in held.quantities.items()}
        )
        made = trained.task.counterfactual(options, some, name, torch.Generator().manual_seed(seed))
    rows = len(made.inputs)

    def read(outputs: Any) -> Tensor:
        return trained.task.reported(options, outputs, made.targets)[1].reshape(rows, -1)

    with torch.no_grad():
        of_changed = trained.model(made.changed)
        wanted = trained.task.reported(options, of_changed, made.targets)[0].reshape(rows, -1)
    source = made.partners if others == "own" else made.changed
    wanted_numbers, read_numbers = wanted, read
    task = trained.task
    if isinstance(task, Classification):

        def read_numbers(outputs: Any) -> Tensor:
            logits = task.compared(options, outputs, made.targets)[0]
            return (logits - logits.mean(-1, keepdim=True)).reshape(rows, -1)

        wanted_numbers = read_numbers(of_changed)
    return Pairs(made.inputs, source, wanted, read, wanted_numbers, read_numbers, name)


def _own(trained: Trained, pairs: OwnPairs) -> Counterfactual:
    """Pairs of the user's, on the model's device; B is what A is changed to."""
    if len(pairs) != 3 or not all(isinstance(one, Tensor) for one in pairs):
        raise InputError(
            "pairs of one's own are three tensors: inputs of A, inputs of B, and targets of A with B's part"
        )
    inputs, source, targets = (one.to(trained.device) for one in pairs)
    if not len(inputs) == len(source) == len(targets):
        raise InputError(f"pairs hold {len(inputs)} inputs, {len(source)} partners and {len(targets)} targets")
    return Counterfactual(inputs, source, source, targets)
