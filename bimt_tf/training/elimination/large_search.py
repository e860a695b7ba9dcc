"""Elimination from networks of many weights: rounds as those of few (search.py), but by minibatches, in bounded memory.

A round takes a share of the weights out by a sampled curvature (sampled_curvature.py, many_weights.py), refits the rest
on minibatches (minibatch_refit.py), and is kept if the budget allows. The share grows after rounds that were kept and
is halved after others; it ends when a small share cannot go. The model is of the user's dtype and on its device.

Beside the given model and one minibatch's activations this takes about 13 numbers a weight (measured: 131 MB for 1.05
million weights in float32, 291 MB for 4.2 million): a copy of the model, its last state (a sparse tensor, with the
places), and the curvature or the optimizer.

What is random depends alone on how many rounds were kept and tried, and a round's standing tells the next share: so an
elimination that goes on from its path ends with the same bits.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.distillation import evaluating
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.many_weights import remove_, wire_lengths
from bimt_tf.training.elimination.minibatch_refit import refit_
from bimt_tf.training.elimination.minibatches import Minibatches
from bimt_tf.training.elimination.objective import Objective
from bimt_tf.training.elimination.reach import reach
from bimt_tf.training.elimination.rounds import Round, Standing, counts, put_
from bimt_tf.training.elimination.sampled_curvature import sampled_curvature

__all__ = ["LARGE", "LargeSearch"]

LARGE = -1
"""The stage of these rounds, before all of the exact form's."""

SHARE, LARGEST_SHARE, GROWTH, LEAST_SHARE = 0.2, 0.4, 1.3, 0.025
"""The share of the weights that a round begins with, the largest, its growth, and the share at which it ends."""

PROBES = 32
"""Random gradients a curvature; each entry is known to a quarter."""

STEPS, RATE = 100, 1e-2
"""Of a round's first refit; ``RATE``: see minibatch_refit.py. The next takes twice as many steps at twice this rate,
the third four times as many at three times. Where the share was halved, so is the rate: less went, and weights may stay
near."""

MORE = 3
"""A round is refitted up to so many times, as long as its loss falls fast enough to come into the budget in these; on
the way to a number of weights, to come back to the loss of the network as given."""

REFITS, ENOUGH = 5, 0.995
"""At the start, so many refits are tried to get below the budget's loss, while one lowers the loss by this factor."""

DOUBLED = 2.0
NATS = 0.01
"""Down to a number of weights: a share is halved, unless it is the least, where it multiplies the loss by this; and,
for losses that are no squares, adds this as well, since the divergence of a model from itself is 0."""


class LargeSearch:
    """``bimt``, a copy of the given model, and ``path``, the rounds kept so far, the network as given first.

    Only the last round in ``path`` has its ``state``; ``on_round`` sees each with its own.

    Args:
        bimt: the user's, which is read once and not changed.
        objective: what the loss is.
        training: what minibatches are drawn from.
        measured: what a round's loss is the mean of.
        validation: what a round must not lose on; None for nothing.
        on_round: called with each round that is kept.
        stop: asked between two steps; True ends it at the last round that was kept.
        path: rounds of an earlier call, to go on from; the last with its state.
    """

    def __init__(
        self,
        bimt: BIMT,
        objective: Objective,
        training: Examples,
        measured: Examples,
        validation: Examples | None,
        on_round: Callable[[Round], None],
        stop: Callable[[], bool],
        path: Sequence[Round] = (),
    ) -> None:
        model, self._teacher = copy.deepcopy(bimt.model).eval(), bimt.model
        self.bimt = BIMT(model, bimt.geometry, bimt.wiring, bimt.reduction, bimt.layout)
        held = self.bimt.parameters
        moved = {wired.parameter: held[wired.parameter] for wired in bimt.wiring.wired}
        parameters = {name: p for name, p in moved.items() if p.requires_grad}
        self.batches = Minibatches.of(model, parameters, objective, training)
        self._connections = {c.parameter: c for c in bimt.wiring.connections if c.parameter in parameters}
        biases = {a.parameter for a in bimt.wiring.attachments if a.is_bias and a.charged}
        self._removable = {n: p for n, p in parameters.items() if n in self._connections or n in biases}
        self._measured, self._validation = measured, validation
        self.on_round, self.stop, self.path = on_round, stop, list(path)
        self.budget = Budget(math.inf, 0, math.inf)
        self._began = time.monotonic() - (path[-1].seconds if path else 0.0)
        self.share = path[-1].standing.share if path else SHARE
        if path:
            put_(self.bimt, path[-1].state)
        self._joined = reach(self.bimt)
        if not path:
            self._keep("as given", *self._losses())

    @property
    def now(self) -> Round:
        """The last round that was kept."""
        return self.path[-1]

    @property
    def live(self) -> int:
        """How many weights are not zero, biases and tables among them."""
        return _live(self.batches.parameters)

    def refit(self) -> None:
        """Refit all weights while the loss is above the budget and falls, if nothing was taken out yet."""
        while self.budget.loss < self.now.loss and self.now.what != "weights" and len(self.path) <= REFITS:
            before = self.now
            losses = self._refitted(0, 0, SHARE)
            allowed = self.budget._replace(loss=ENOUGH * before.loss)
            if self.stop() or not allowed.allows(*losses):
                put_(self.bimt, before.state)
                return
            self._keep("refit", *losses)

    def remove_weights(self, down_to: int = 0) -> None:
        """Take weights out until the budget is used up, ``down_to`` are live, or the search is stopped."""
        share, tries = self.share, 0
        while not self.stop() and self.now.loss <= self.budget.loss:
            live = self.live
            spare = min(self.now.weights - self.budget.weights, live - down_to)
            if spare <= 0 or not _live(self._removable):
                return
            count = min(max(1, int(share * live)), spare, _live(self._removable))
            if self._round(count, tries, share):
                share, tries = self.share, 0
            elif share <= LEAST_SHARE or count == 1:
                return
            else:
                share, tries = max(share / 2, LEAST_SHARE), tries + 1

    def _round(self, count: int, tries: int, share: float) -> bool:
        before = self.now
        batches = self.batches._replace(parameters=self._removable)
        curvature = sampled_curvature(batches, self._connections, PROBES, self._generator(0))
        remove_(self._removable, self._connections, curvature, wire_lengths(self.bimt, self._removable), count)
        del curvature
        losses, falls, number = self._refitted(tries, 0, share), math.inf, 1
        while number < MORE and falls * (MORE - number) > (above := self._above(*losses)) > 0 and not self.stop():
            losses = self._refitted(tries, number, share)
            falls, number = above - self._above(*losses), number + 1
        careful = math.isinf(self.budget.loss) and share > LEAST_SHARE
        floor = 0.0 if self.batches.objective.residuals else NATS
        kept = self.budget.allows(*losses) and not (careful and losses[0] > DOUBLED * before.loss + floor)
        if kept and not self.stop():
            self.share = min(LARGEST_SHARE, GROWTH * share)
            self._keep("weights", *losses)
            return True
        put_(self.bimt, before.state)
        return False

    def _above(self, loss: float, validation_loss: float | None) -> float:
        """How far the worse of two losses is above where refits end."""
        first, budget = self.path[0].loss, self.budget
        training = loss - (first if math.isinf(budget.loss) else budget.loss)
        return training if validation_loss is None else max(training, validation_loss - budget.validation_loss)

    def _refitted(self, tries: int, number: int, share: float) -> tuple[float, float | None]:
        """The losses after a round's refit of this ``number``, whose minibatches follow from both numbers."""
        steps, rate = STEPS * 2**number, RATE * (1 + number) * min(1.0, share / SHARE)
        with evaluating(self._teacher):
            refit_(self.batches, steps, rate, self._generator(1 + MORE * tries + number), self.stop, self._teacher)
        return self._losses()

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(1_000 * len(self.path) + number)

    def _losses(self) -> tuple[float, float | None]:
        validation = None if self._validation is None else self.batches.mean(self._validation)
        return self.batches.mean(self._measured), validation

    def _keep(self, what: Literal["as given", "refit", "weights"], loss: float, validation_loss: float | None) -> None:
        joined = reach(self.bimt)
        severed, self._joined = self._joined.lost_in(joined), joined
        if self.path:
            self.path[-1] = self.now._replace(state={})
        self.path.append(
            Round(
                what,
                *counts(self.bimt),
                loss=loss,
                validation_loss=validation_loss,
                severed=severed,
                seconds=time.monotonic() - self._began,
                state={name: p.detach().to_sparse() for name, p in self.bimt.parameters.items()},
                standing=Standing(LARGE, self.share),
            )
        )
        self.on_round(self.now)


def _live(parameters: Mapping[str, Tensor]) -> int:
    return sum(int(p.count_nonzero()) for p in parameters.values())
