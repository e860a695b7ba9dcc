"""Rounds of neurons that other neurons carry already: one goes, the others take over its outgoing weights.

Two neurons whose activations are equal but for a factor and a constant carry the same thing; so do three of which one
is a sum of the others, and one that hardly varies carries nothing (folding.py). Where that is so to rounding, nothing
changes; where it is nearly so, a refit makes up for the rest, within the budget. What leaves fewer numbers, and no more
active weights, is kept: to let others carry a token's embedding takes many entries from its table, but may add weights.
"""

from __future__ import annotations

import torch

from bimt_tf.core.population import Stage
from bimt_tf.training.elimination.folding import (
    Dependence,
    dependences,
    fold_,
    hidden_stages,
    live_neurons,
    neurons_of,
)
from bimt_tf.training.elimination.levenberg_marquardt import steps_for
from bimt_tf.training.elimination.live_network import LiveNetwork
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.single_weights import TOLERANCE, goal_for

__all__ = ["merge_neuron"]

OTHERS = 3
"""A neuron is explained by at most so many others."""

MEASURED, REFITTED = 24, 3
"""So many ways are measured without a refit, those that should change least, and the best of them refitted."""


@torch.no_grad()
def merge_neuron(search: Search) -> bool:
    """Let other neurons carry what one carries; whether one could go."""
    trials = []
    for stage, one in _likeliest(search):
        changed: dict[str, torch.Tensor] = {}
        if search.stop():
            return False
        if fold_(search.bimt, changed, stage, one) and search.may_change(changed):
            trial = search.trial(changed)
            if search.fewer(trial):
                trials.append((trial.loss(trial.start), trial))
    trials = [one for one in trials if not search.hopeless(one[0])]
    best: list[LiveNetwork] = [trial for _, trial in sorted(trials, key=lambda one: one[0])[:REFITTED]]
    return any(_kept(search, trial) for trial in best if not search.stop())


def _likeliest(search: Search) -> list[tuple[Stage, Dependence]]:
    """What should change least: by how much of a neuron is not explained, times the size of what reads it."""
    found = []
    for stage in hidden_stages(search.bimt):
        sizes = sum(
            connection.flatten(search.bimt.parameters[connection.parameter]).square().sum((0, 2))
            for connection in search.bimt.wiring.connections
            if connection.source == stage
        )
        assert isinstance(sizes, torch.Tensor)
        for one in dependences(neurons_of(search, stage), live_neurons(search.bimt, stage), OTHERS):
            found.append((one.left * float(sizes[one.neuron].sqrt()), stage, one))
    return [(stage, one) for _, stage, one in sorted(found, key=lambda one: one[0])[:MEASURED]]


@torch.enable_grad()
def _kept(search: Search, trial: LiveNetwork) -> bool:
    n = len(trial.start)
    return search.attempt_trial(
        "merge", trial, steps=steps_for(n), tolerance=TOLERANCE, goal=goal_for(n, search), most=search.fair
    )
