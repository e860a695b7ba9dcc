"""A falling number of weights, the largest of every tensor, in the place of the pressed phase (method topk).

Gao et al., "Weight-sparse transformers have interpretable circuits" (2025): after every step of Adam all entries of a
tensor but the k largest in size are set to zero, where k falls linearly from all of them to the wanted number over the
first half of training. Zeros have gradients and moments, so that a weight can come back. Here k falls over ``anneal``
of the steps before the finish phase, at whose beginning the zeros are frozen.

Where this differs: there each tensor keeps the same share, biases too, and no neuron fewer than a few weights; here the
tensors share out ``density`` in proportion to inputs plus outputs (Erdős-Rényi: Mocanu et al. 2018, Evci et al. 2020),
for an equal share would cut the small first and last tensors of small networks to nothing, and biases stay, for they
do not count as weights. Its rate grows with sparsity; here the rate is the run's, which is searched for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.core.wiring import Wiring
from bimt_tf.training.adam import adam_step_
from bimt_tf.training.phase import After
from bimt_tf.training.schedule import finish_step, fresh_steps, lr_at
from bimt_tf.training.state import State

__all__ = ["TopK", "shares"]


class _Tensor(NamedTuple):
    """Where a connection's entries are in the vector, and how many are left when k has fallen."""

    entries: slice
    left: int


class TopK:
    """From the first step to the finish phase, for the method topk."""

    resumable = True

    def span(self, config: Config) -> range:
        """The steps before the finish phase; none for other methods."""
        return range(finish_step(config) if METHODS[config.method].leaves == "topk" else 0)

    def enter(self, state: State) -> None:
        """Nothing: training begins with the weights that the state has."""

    def run(self, state: State, after: After) -> bool:
        """Adam's steps, all but the largest weights set to zero after each; the last one freezes the zeros."""
        config, end = state.config, self.span(state.config).stop
        tensors, falls = _tensors(state), max(round(config.training.anneal * end), 1)
        fresh = fresh_steps(config)
        for step in range(state.step, end):
            if step in fresh:
                state.forget_moments()
            loss = adam_step_(state, 0.0, lr_at(config, step))
            keep_largest_(state, tensors, min((step + 1) / falls, 1.0))
            if step + 1 == end:
                weights = state.flat.vector.detach()
                state.kept = ((weights != 0) | ~state.is_weight()).to(weights.dtype)
            if after(loss):
                return False
        return True


def shares(wiring: Wiring, density: float) -> dict[str, int]:
    """Connection's parameter -> how many of its weights are left when ``density`` of all are: at least one of each.

    A tensor of n inputs and m outputs keeps c (n + m) of its n m weights, all of them if that is more, with one c.
    """
    sizes = {c.parameter: c.numel for c in wiring.connections}
    ends = {c.parameter: sum(wiring.populations[s.population].size for s in c.stages) for c in wiring.connections}
    wanted, whole = density * sum(sizes.values()), set[str]()
    while True:
        free = [name for name in sizes if name not in whole]
        c = (wanted - sum(sizes[name] for name in whole)) / max(sum(ends[name] for name in free), 1)
        full = {name for name in free if c * ends[name] >= sizes[name]}
        if not full:
            return {name: sizes[name] if name in whole else max(round(c * ends[name]), 1) for name in sizes}
        whole |= full


def keep_largest_(state: State, tensors: list[_Tensor], fallen: float) -> None:
    """Zero all but the largest entries of each tensor; their number has fallen ``fallen`` (0 to 1) of its way."""
    weights = state.flat.vector.data
    for entries, left in tensors:
        own = weights[entries]
        k = round(len(own) + (left - len(own)) * fallen)
        if k < len(own):
            largest = own.abs().topk(k, sorted=False).indices
            kept = torch.zeros_like(own)
            kept[largest] = own[largest]
            own.copy_(kept)


def _tensors(state: State) -> list[_Tensor]:
    """The trained connections' places in the vector."""
    left = shares(state.bimt.wiring, state.config.training.density)
    found, at = [], 0
    for name, parameter in state.flat.named.items():
        if name in left:
            found.append(_Tensor(slice(at, at + parameter.numel()), left[name]))
        at += parameter.numel()
    return found
