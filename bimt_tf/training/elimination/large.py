"""Elimination from networks that exact curvature cannot take, as ``eliminate`` calls it (large_search.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.large_search import LARGE, LargeSearch
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.objective import Objective
from bimt_tf.training.elimination.rounds import Round

__all__ = ["Large", "live_weights", "remove_from_large"]


class Large(NamedTuple):
    """What was done by minibatches: its rounds, the budget as it was asked for, and the weights that are not zero."""

    path: tuple[Round, ...]
    budget: Budget
    live: int


def remove_from_large(
    bimt: BIMT,
    objective: Objective,
    training: Examples,
    measured: Examples,
    validation: Examples | None,
    *,
    budget_of: Callable[[Round], Budget],
    down_to: int | None,
    on_round: Callable[[Round], None],
    stop: Callable[[], bool],
    path: Sequence[Round],
) -> Large:
    """Take weights out of a copy of ``bimt.model`` by minibatches.

    Args:
        bimt: the user's model.
        objective: what the loss is.
        training: what minibatches are drawn from.
        measured: what the loss is the mean of.
        validation: what a round must not lose on.
        budget_of: the budget, from the network as it was given.
        down_to: end at so many live weights, for the exact form to go on, which refits far better: so a loss above the
            budget is no hindrance as long as it is not above that of the model as given. None: no other form goes on.
        on_round: called with each round that is kept.
        stop: asked between two steps.
        path: rounds to go on from, or none; those behind the last of this kind are the exact form's.

    Raises:
        InputError: for a budget that cannot be, or a loss that is not finite.
    """
    rounds = [one for one in path if one.standing.stage == LARGE]
    training, measured = _like(bimt, training), _like(bimt, measured)
    held = None if validation is None else _like(bimt, validation)
    search = LargeSearch(bimt, objective, training, measured, held, on_round, stop, rounds)
    first = search.path[0]
    if not math.isfinite(first.loss):
        raise InputError(f"the loss of the model as it is must be finite, found {first.loss}")
    budget = budget_of(first)
    if budget.neurons and down_to is None:
        raise InputError(
            "neurons= needs a model in plain torch, whose curvature is exact: give max_loss or weights here"
        )
    if down_to is not None:
        loss = first.loss if budget.neurons else max(budget.loss, first.loss)
        search.budget = budget._replace(loss=loss, neurons=0)
    else:
        search.budget = budget
    if len(rounds) == len(path):
        search.refit()
        search.remove_weights(down_to or 0)
    return Large(tuple(search.path), budget, search.live)


def live_weights(bimt: BIMT) -> int:
    """How many of a model's numbers are not zero: weights, biases and tables."""
    held = bimt.parameters
    return sum(int(held[wired.parameter].count_nonzero()) for wired in bimt.wiring.wired)


def _like(bimt: BIMT, examples: Examples) -> Examples:
    """Examples on the model's device, numbers in its dtype."""
    like = next(bimt.model.parameters())

    def to(part: Tensor) -> Tensor:
        return part.to(like.device, like.dtype if part.is_floating_point() else part.dtype)

    return Examples(*map(to, examples))
