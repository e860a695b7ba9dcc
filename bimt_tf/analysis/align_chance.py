"""What a network with other wires would show: its weights drawn anew among its own neurons.

A matching takes the best pairs there are, so neurons of any two networks look alike to some degree, and those near
inputs and outputs look alike whatever was learned. A **rewired** network keeps how many active weights each neuron has
in every tensor, and the tensor's values; which neurons are joined, and by which value, is drawn. What is matched to
the reference no better than rewired copies of the same network is not found.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from bimt_tf.analysis.align_symmetry import Sparse
from bimt_tf.bimt import BIMT

__all__ = ["Carrier", "rewired"]

SWAPS = 4  # tried, for each active weight of a tensor
MOST_SWAPS = 50_000  # of a tensor: a large one is then not mixed as thoroughly


def rewired(network: Sparse, generator: np.random.Generator) -> Sparse:
    """The network with other wires; ``active`` is as it was, since every neuron keeps the number of its weights."""
    weights = {name: np.stack([_rewired(copy_, generator) for copy_ in flat]) for name, flat in network.weights.items()}
    return network._replace(weights=weights)


def _rewired(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One tensor [sources, targets]: pairs of wires exchange their targets, then all values are dealt anew."""
    sources, targets = weights.nonzero()
    values = generator.permutation(weights[sources, targets])
    taken = weights != 0
    if not taken.all():
        tries = min(SWAPS * len(sources), MOST_SWAPS)
        for i, j in generator.integers(0, max(len(sources), 1), (tries, 2)).tolist():
            a, b, x, y = sources[i], sources[j], targets[i], targets[j]
            if a != b and x != y and not taken[a, y] and not taken[b, x]:
                taken[a, x] = taken[b, y] = False
                taken[a, y] = taken[b, x] = True
                targets[i], targets[j] = y, x
    made = np.zeros_like(weights)
    made[sources, targets] = values
    return made


class Carrier:
    """A copy of a network's model that takes other weights; the network's own model is not touched."""

    def __init__(self, network: Sparse) -> None:
        self._bimt = BIMT(copy.deepcopy(network.bimt.model), wiring=network.bimt.wiring)

    @torch.no_grad()
    def model(self, network: Sparse) -> nn.Module:
        """The copy with these weights; the next call changes it."""
        parameters = self._bimt.parameters
        for c in self._bimt.wiring.connections:
            values = torch.from_numpy(network.weights[c.parameter])
            parameters[c.parameter].copy_(c.unflatten(values).to(parameters[c.parameter]))
        return self._bimt.model
