"""The first thousands of weights: quick rounds on few examples, before anything is fitted well.

A network that was only just pressed has thousands of weights, which say the same thing many times over. Its curvature
by a few hundred examples has a rank far below n, so that rounds like those of single weights (steps of
Levenberg-Marquardt, brain surgeon, a refit) cost m^2 n in the place of n^3 (low_rank.py). Every trial is judged on all
examples, and kept if the loss stays below that of the given network.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from bimt_tf.training.elimination.brain_surgeon import choose, correct, without_smallest
from bimt_tf.training.elimination.levenberg_marquardt import FLOOR
from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.low_rank import LowRank, low_rank
from bimt_tf.training.elimination.search import Search

__all__ = ["FEW_ENOUGH", "early_rounds"]

FEW_ENOUGH = 600
"""Live weights at which these rounds end."""

ROWS, ROWS_SHARE = 500, 0.2
"""Rows that the curvature is made of: so many, or this share of the live weights if that is more."""

SHARE, LEAST_SHARE, MOST_AT_ONCE = 0.35, 0.05, 1500
"""The share of the live weights that a round tries first, the one below which all end, and a round's most weights."""

PASSES = 20
"""A round chooses its weights in so many passes: each takes those that cost least, given what went before."""

STEPS_BEFORE, STEPS, ENOUGH = 2, 6, 0.1
"""Steps before a removal and after it; they end at one that lowers the loss by less than the last, as a share of it."""

DAMPINGS = (1e-6, 1e-3)
FIRST_DAMPING, FALL, RISE, TRIES = 1e-3, 10.0, 8.0, 5


def early_rounds(search: Search) -> None:
    """Take weights out as long as many live, at no larger a loss than the given network's or the budget's."""
    allowed, given = search.budget, search.path[0].loss
    search.budget = allowed._replace(loss=max(allowed.loss, given) if math.isfinite(allowed.loss) else given)
    share = SHARE
    while share >= LEAST_SHARE and not search.stop():
        network = search.network()
        n = len(network.start)
        most = min(n - FEW_ENOUGH // 2, search.now.weights - allowed.weights, MOST_AT_ONCE)
        if n <= FEW_ENOUGH or most < 1:
            break
        share = SHARE if _round(search, network, max(1, min(int(share * n), most))) else share / 2
    search.budget = allowed


def _round(search: Search, network: LiveNetwork, count: int) -> bool:
    few = _some(network, max(ROWS, int(ROWS_SHARE * len(network.start))))
    fitted = _fit(network, few, network.start, search, STEPS_BEFORE)
    values = _without(network, few, fitted, count, search.lengths(network))
    refitted = _fit(network, few, values, search, STEPS)
    return search.attempt("weights", network, refitted, steps=0, tolerance=0.0, goal=search.level)


class Few(NamedTuple):
    """What a round's curvature is made of: examples, and how many of their rows; of all where that is None."""

    examples: Examples
    rows: int | None


def _some(network: LiveNetwork, rows: int) -> Few:
    """About so many rows: of all examples, where they are drawn by their size, else all of examples from all over.

    Of classes most rows are next to nothing, and those of a few examples would say nothing of the others.
    """
    if network.draws_rows:
        return Few(network.examples, rows)
    one = Examples(*(part[:1] for part in network.examples))
    n, k = len(network.examples.inputs), len(network.sampled(network.start, one).jacobian)
    every = max(1, n * k // max(rows, k))
    return Few(Examples(*(part[::every] for part in network.examples)), None)


def _without(network: LiveNetwork, few: Few, values: Tensor, count: int, lengths: Tensor) -> Float[Tensor, " n"]:
    """``values`` without ``count`` weights: the best of several dampings, with and without correction."""
    jacobian, trials = network.sampled(values, *few).jacobian, []
    for damping in DAMPINGS:
        inverse = _inverse(jacobian, damping, 0.0)
        if inverse is None:
            continue
        removed = choose(values, inverse, count, lengths, max(1, count // PASSES))
        trials.append(values.index_fill(0, removed, 0))
        corrected = correct(values, inverse, removed)
        if corrected is not None:
            trials.append(corrected)
    if not trials:  # curvature that is no number: the smallest go
        return without_smallest(values, count, lengths)
    return network.best_of(trials)


def _fit(network: LiveNetwork, few: Few, values: Tensor, search: Search, steps: int) -> Float[Tensor, " n"]:
    """Levenberg-Marquardt with the gradient and curvature of few examples, and the loss of all; zeros stay."""
    home, loss, damping = values, network.loss(values), FIRST_DAMPING
    live = (values != 0).nonzero().squeeze(1)
    for _ in range(steps):
        if loss <= search.level or search.stop():
            break
        gradient, jacobian = network.sampled(values, *few)
        gradient, jacobian = (gradient + search.pull * (values - home))[live], jacobian[:, live]
        before = loss
        for _ in range(TRIES):
            inverse = _inverse(jacobian, damping, search.pull)
            if inverse is not None:
                trial = values.index_add(0, live, inverse.times(gradient), alpha=-1)
                if (found := network.loss(trial)) < loss:
                    values, loss, damping = trial, found, damping / FALL
                    break
            damping *= RISE
        if not loss < (1 - ENOUGH) * before:
            break
    return values


def _inverse(jacobian: Tensor, damping: float, pull: float) -> LowRank | None:
    diagonal = jacobian.square().sum(0)
    if not len(diagonal) or not float(diagonal.max()) > 0:
        return None
    return low_rank(jacobian, damping * diagonal.clamp_min(FLOOR * float(diagonal.max())) + pull)
