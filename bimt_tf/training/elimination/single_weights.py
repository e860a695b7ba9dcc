"""Rounds of single weights: a share of them goes at once, the others make up for it, and the network is refitted."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.training.elimination.brain_surgeon import Dense, choose, correct, without_smallest
from bimt_tf.training.elimination.levenberg_marquardt import Normal, damped, steps_for
from bimt_tf.training.elimination.live_network import LiveNetwork
from bimt_tf.training.elimination.search import Search

__all__ = ["DAMPINGS", "goal_for", "remove_weights", "without"]

LARGEST_SHARE, GROWTH = 0.3, 1.3
"""The largest share of the live weights that a round takes out, and its growth after a round that was kept."""

DAMPINGS = (1e-9, 1e-6, 1e-3)
"""Dampings of the curvature that are tried: the larger, the less the quadratic picture is trusted far away."""

TOLERANCE = 5e-3
ROOM, LITTLE_ROOM, MANY = 0.02, 0.2, 600
"""A refit ends at this share of the budget's loss, and of many weights, where a step takes long, at a larger one."""
NEAR_ROOM = 0.9
"""Of a search that stays near: low losses need a few large weights, which a low Q shows."""

DOUBLED, SMALL_SHARE = 2.0, 0.05
"""Down to a number of weights: a larger share than the small one is halved where it doubles a loss above the level."""

SINGLES, REFITTED = 64, 6
"""At the end so many weights are taken out one at a time, and the best of them refitted."""


def remove_weights(search: Search) -> None:
    """Take weights out until the budget is used up or the search is stopped."""
    while not search.stop() and not search.reached:
        network = search.network()
        if not bool((search.lengths(network) > 0).any()):  # what is left is frozen, or stays
            return
        normal = network.normal(network.start)
        share = search.share
        while not search.stop():
            spare = search.now.weights - search.budget.weights
            count = max(1, min(int(share * len(network.start)), spare))
            kept = _round(search, network, normal, count, min(LARGEST_SHARE, GROWTH * share))
            if kept:
                break
            if count == 1:
                if not _last_round(search, network, normal, share):
                    return
                break
            share = 0.5 * count / len(network.start)


def without(network: LiveNetwork, normal: Normal, count: int, lengths: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The weights with ``count`` of them taken out: the best found by several dampings, with and without correction."""
    start, trials = network.start, []
    for damping in DAMPINGS:
        factor = damped(normal.curvature, damping)
        if factor is None:
            continue
        inverse = Dense(torch.cholesky_inverse(factor))
        removed = choose(start, inverse, count, lengths)
        trials.append(start.index_fill(0, removed, 0))
        corrected = correct(start, inverse, removed)
        if corrected is not None:
            trials.append(corrected)
    if not trials:  # curvature that is no number: the smallest go
        return without_smallest(start, count, lengths)
    return network.best_of(trials)


def goal_for(n: int, search: Search) -> float:
    """The loss at which a refit of ``n`` weights may end."""
    return search.level * (NEAR_ROOM if search.stay_near else LITTLE_ROOM if n > MANY else ROOM)


def _round(search: Search, network: LiveNetwork, normal: Normal, count: int, share: float) -> bool:
    values = without(network, normal, count, search.lengths(network))
    careful = not math.isfinite(search.budget.loss) and count > SMALL_SHARE * len(network.start)
    most = max(DOUBLED * search.now.loss, search.level) if careful else math.inf
    return _refit(search, network, values, share, most)


def _refit(search: Search, network: LiveNetwork, values: Tensor, share: float, most: float = math.inf) -> bool:
    steps, goal = steps_for(len(values)), goal_for(len(values), search)
    return search.attempt(
        "weights", network, values, steps=steps, tolerance=TOLERANCE, goal=goal, most=most, share=share
    )


def _last_round(search: Search, network: LiveNetwork, normal: Normal, share: float) -> bool:
    """One weight, by the loss itself in the place of its quadratic picture, which reaches less far."""
    factor = damped(normal.curvature, DAMPINGS[-1])
    if factor is None:
        return False
    start, inverse, may_go = network.start, Dense(torch.cholesky_inverse(factor)), search.lengths(network) > 0
    costs, trials = (start.square() / inverse.diagonal()).masked_fill(~may_go, torch.inf), []
    for weight in costs.argsort()[: min(SINGLES, int(may_go.sum()))]:
        corrected = correct(start, inverse, weight[None])
        for values in (start.index_fill(0, weight, 0), corrected):
            if values is not None:
                trials.append((network.loss(values), values))
    trials = sorted((trial for trial in trials if math.isfinite(trial[0])), key=lambda trial: trial[0])
    return any(_refit(search, network, values, share) for _, values in trials[:REFITTED] if not search.stop())
