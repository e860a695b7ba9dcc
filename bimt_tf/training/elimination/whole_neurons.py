"""Rounds of whole neurons: one goes, the network is refitted; where that fails, with all weights between the others."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.training.elimination.brain_surgeon import Dense, Inverse, correct, cost_of
from bimt_tf.training.elimination.levenberg_marquardt import damped
from bimt_tf.training.elimination.live_network import LiveNetwork
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.single_weights import DAMPINGS

__all__ = ["remove_neurons"]

STEPS, TOLERANCE, ROOM = 150, 1e-3, 0.1
DENSE = 2_000
"""A refit with all weights between the neurons is tried up to so many weights, for its time grows with their cube."""

TRIED, POWERS = 8, 6
"""Down to a number of neurons: the cheapest are tried, and so many powers of ten of the loss."""

NO_NEURON = -1


def remove_neurons(search: Search) -> None:
    """Take hidden neurons out, cheapest first, until none can go within the budget."""
    while not search.stop() and not search.reached:
        if not _round(search):
            return


def _round(search: Search) -> bool:
    """Take one neuron out: the first in the order of their costs that can go."""
    network = search.network()
    normal = network.normal(network.start)
    factor = damped(normal.curvature, DAMPINGS[1])
    if factor is None:
        return False
    inverse, owners = Dense(torch.cholesky_inverse(factor)), network.gather(_owners(search.bimt))
    wires = [(owners == owner).nonzero().squeeze(1) for owner in sorted(set(owners.tolist()) - {NO_NEURON})]
    wires.sort(key=lambda removed: cost_of(network.start, inverse, removed))
    for most in _limits(search):
        some = wires if math.isinf(most) else wires[:TRIED]
        if any(_without(search, network, inverse, removed, most) for removed in some if not search.stop()):
            return True
    return False


def _limits(search: Search) -> list[float]:
    """What a refit's loss may be at most: the budget's, and without one first little, then ten times more and more."""
    if math.isfinite(search.budget.loss):
        return [math.inf]
    return [*(search.level * 10.0**power for power in range(POWERS)), math.inf]


def _without(
    search: Search, network: LiveNetwork, inverse: Inverse, removed: Int64[Tensor, " wires"], most: float
) -> bool:
    """Refit without the wires that lead away from a neuron, which then does nothing."""
    plain = network.start.index_fill(0, removed, 0)
    corrected = correct(network.start, inverse, removed)
    starts = [values for values in (plain, corrected) if values is not None]
    values = network.best_of(starts)
    goal = ROOM * search.level
    for dense in (False, True):
        if dense and len(network.compact_entries) > DENSE:
            continue
        if search.attempt(
            "neuron", network, values, steps=STEPS, tolerance=TOLERANCE, goal=goal, most=most, dense=dense
        ):
            return True
    return False


def _owners(bimt: BIMT) -> dict[str, Tensor]:
    """Parameter -> for each entry, the number of the hidden neuron that it leads away from, or ``NO_NEURON``."""
    first = min(stage.depth for stage in bimt.wiring.stages)
    tables = {
        a.stage.population for a in bimt.wiring.attachments if not a.is_bias
    }  # embeddings of tokens are no inputs
    owners = {n: torch.full(p.shape, NO_NEURON, device=p.device) for n, p in bimt.parameters.items()}
    offsets, total = {}, 0
    for name, population in bimt.wiring.populations.items():
        offsets[name], total = total, total + population.size
    for c in bimt.wiring.connections:
        if c.source.depth > first or c.source.population in tables:
            sizes = [bimt.wiring.populations[stage.population].size for stage in c.stages]
            numbers = torch.arange(sizes[0], device=owners[c.parameter].device) + offsets[c.source.population]
            owners[c.parameter] = c.unflatten(numbers[None, :, None].expand(1, *sizes))
    return owners
