"""Elimination from networks that exact curvature cannot take, as ``eliminate`` calls it (large_search.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.large_search import LARGE, LargeSearch
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.objective import Objective
from bimt_tf.training.elimination.rounds import Round

__all__ = [
    "NOT_EXACT", "Large", "Task", "guarded", "limits_for", "live_weights", "remove_from_large", "require_finite_loss",
]  # fmt: skip

OF_CLASSES, MOST_OF_CLASSES = 600, 1_500
"""Of losses that are no squares, minibatches go down to so many live weights, for they take thousands in seconds, and
no exact rounds follow above the second: near zero loss they take single weights, in seconds each."""


NOT_EXACT = "minibatches left too many weights for exact rounds to follow: --weights N goes on with them"


class Large(NamedTuple):
    """What was done by minibatches: its rounds, the budget as it was asked for, and the weights that are not zero."""

    path: tuple[Round, ...]
    budget: Budget
    live: int


class Task(NamedTuple):
    """What an elimination fits: ``given`` examples, ``training``, those of them that the loss is the mean of, and
    ``held``, which only validate; of how many that the user gave (``of``), and what should be said about it.
    """

    given: Examples
    training: Examples
    held: Examples | None
    objective: Objective
    of: int
    notes: tuple[str, ...]


def limits_for(objective: Objective, most: int, held: bool, counted: bool) -> tuple[int, int]:
    """How many live weights minibatches go down to, and of how many at most exact rounds follow.

    Args:
        objective: what is fitted.
        most: both, of squared residuals.
        held: whether weights or biases are held, which minibatches cannot do: they then do as little as they must.
        counted: whether the budget is a number of weights or neurons, which exact rounds reach whatever they take.
    """
    if objective.residuals or held:
        return most, most
    return min(most, OF_CLASSES), most if counted else min(most, MOST_OF_CLASSES)


def remove_from_large(
    bimt: BIMT,
    task: Task,
    budget_for: Callable[[Round], Budget],
    down_to: int | None,
    on_round: Callable[[Round], None],
    stop: Callable[[], bool],
    path: Sequence[Round],
) -> Large:
    """Take weights out of a copy of ``bimt.model`` by minibatches.

    Args:
        bimt: the user's model.
        task: what is fitted; minibatches are drawn from all that is given.
        budget_for: the budget, from the network as it was given.
        down_to: end at so many live weights, for the exact form to go on, which refits far better: so a loss above the
            budget is no hindrance as long as it is not above that of the model as given. None: no other form goes on.
        on_round: called with each round that is kept.
        stop: asked between two steps.
        path: rounds to go on from, or none; those behind the last of this kind are the exact form's.

    Raises:
        InputError: for a budget that cannot be, or a loss that is not finite.
    """
    rounds = [one for one in path if one.standing.stage == LARGE]
    given, training = _like(bimt, task.given), _like(bimt, task.training)
    held = None if task.held is None else _like(bimt, _spaced(task.held, len(task.training.inputs)))
    search = LargeSearch(bimt, task.objective, given, training, held, on_round, stop, rounds)
    first = search.path[0]
    require_finite_loss(first)
    budget = guarded(budget_for(first), first)
    if budget.neurons and down_to is None:
        raise InputError(
            "neurons= needs a model in plain torch, whose curvature is exact: give max_loss or weights for this one"
        )
    search.budget = budget
    if down_to is not None:
        loss = first.loss if budget.neurons else max(budget.loss, first.loss)
        search.budget = budget._replace(loss=loss, neurons=0)
    if len(rounds) == len(path):
        search.refit()
        search.remove_weights(down_to or 0)
    return Large(tuple(search.path), budget, search.live)


def require_finite_loss(first: Round) -> None:
    """Raise InputError for a loss of the network as given that is no number."""
    if not math.isfinite(first.loss):
        raise InputError(f"the loss of the model as it is must be finite, found {first.loss}")


def live_weights(bimt: BIMT) -> int:
    """How many of a model's numbers are not zero: weights, biases and tables."""
    held = bimt.parameters
    return sum(int(held[wired.parameter].count_nonzero()) for wired in bimt.wiring.wired)


def guarded(budget: Budget, first: Round) -> Budget:
    """The validation loss may rise by the factor that the loss may rise by, if that is less than the budget says."""
    if first.validation_loss is None or not first.loss:
        return budget
    rise = max(1.0, budget.loss / first.loss)
    bound = max(budget.loss, rise * first.validation_loss)
    return budget._replace(validation_loss=min(budget.validation_loss, bound))


def _like(bimt: BIMT, examples: Examples) -> Examples:
    """Examples on the model's device, numbers in its dtype."""
    like = next(bimt.model.parameters())

    def to(part: Tensor) -> Tensor:
        return part.to(like.device, like.dtype if part.is_floating_point() else part.dtype)

    return Examples(*map(to, examples))


def _spaced(examples: Examples, most: int) -> Examples:
    """At most so many of the examples, evenly spaced."""
    n = len(examples.inputs)
    if n <= most:
        return examples
    chosen = torch.linspace(0, n - 1, most, dtype=torch.float64).long().to(examples.inputs.device)
    return Examples(*(part[chosen] for part in examples))
