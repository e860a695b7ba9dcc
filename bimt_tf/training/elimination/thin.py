"""Thinning as :func:`bimt_tf.eliminate` calls it: the user's data and budget checked, then rounds (thinning.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.training.elimination.budget import Budget, budget_of
from bimt_tf.training.elimination.minibatches import BatchLoss, Pair
from bimt_tf.training.elimination.rounds import Round
from bimt_tf.training.elimination.thinning import Thinning

__all__ = ["Thinned", "live_weights", "thin"]


class Thinned(NamedTuple):
    """What thinning left: a thinned copy of the model, the rounds, and the budget as it was asked for.

    ``examples``: how many the losses are means over, of how many given (``of``). ``live``: weights that are not zero.
    """

    bimt: BIMT
    path: tuple[Round, ...]
    budget: Budget
    examples: int
    of: int
    live: int


def thin(
    bimt: BIMT,
    loss: BatchLoss,
    training: Pair,
    validation: Pair | None,
    *,
    limits: tuple[float | None, float | None, int | None],
    examples: int,
    down_to: int | None,
    on_round: Callable[[Round], None],
    stop: Callable[[], bool],
    path: Sequence[Round],
) -> Thinned:
    """Thin a copy of ``bimt.model`` by minibatches.

    Args:
        bimt: the user's model.
        loss: what is kept low.
        training: examples for minibatches, numbers in the model's dtype, on its device.
        validation: as ``training``; what a round must not lose on.
        limits: ``max_loss``, ``loss_factor`` and ``weights`` as the user gave them; one is not None.
        examples: the loss is the mean over so many of the training examples.
        down_to: end at so many live weights, for the exact form to go on, which refits far better: so a loss above the
            budget is no hindrance as long as it is not above that of the model as given. None: no other form goes on.
        on_round: called with each round that is kept.
        stop: asked between two steps.
        path: rounds to go on from, or none.

    Raises:
        InputError: for a budget that cannot be, a loss that is not finite, or outputs and targets that do not fit.
    """
    _require_fitting(bimt, loss, training)
    measured = _drawn(training, examples)
    thinning = Thinning(bimt, loss, training, measured, validation, on_round, stop, path)
    first = thinning.path[0]
    if not math.isfinite(first.loss):
        raise InputError(f"the loss of the model as it is must be finite, found {first.loss}")
    budget = budget_of(*limits, first.loss, first.validation_loss)
    thinning.budget = budget if down_to is None else budget._replace(loss=max(budget.loss, first.loss))
    thinning.refit()
    thinning.remove_weights(down_to or 0)
    return Thinned(thinning.bimt, tuple(thinning.path), budget, len(measured[0]), len(training[0]), thinning.live)


def _drawn(examples: Pair, most: int) -> Pair:
    """At most ``most`` examples, drawn by a fixed seed."""
    n = len(examples[0])
    if most >= n:
        return examples
    chosen = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].sort().values
    inputs, targets = (part[chosen.to(part.device)] for part in examples)
    return inputs, targets


def live_weights(bimt: BIMT) -> int:
    """How many of a model's numbers are not zero: weights, biases and tables."""
    held = bimt.parameters
    return sum(int(held[wired.parameter].count_nonzero()) for wired in bimt.wiring.wired)


def _require_fitting(bimt: BIMT, loss: BatchLoss, examples: Pair) -> None:
    """Raise InputError unless the loss takes the model's outputs and the targets."""
    inputs, targets = (part[:2] for part in examples)
    with torch.no_grad():
        outputs = bimt.model(inputs)
    if not isinstance(outputs, Tensor):
        raise InputError(f"eliminate takes models that give a tensor, found {type(outputs).__name__}")
    loss.check(outputs, targets)
