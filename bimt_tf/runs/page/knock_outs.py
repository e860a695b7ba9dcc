"""Neurons of a row knocked out one at a time, in the compact network where that is possible: several times quicker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bimt_tf.analysis.ablate import ablate_each
from bimt_tf.analysis.clean_run import seen_at
from bimt_tf.analysis.compact import can_compact, compact
from bimt_tf.bimt import BIMT
from bimt_tf.scene.rows import Row

__all__ = ["KnockOuts", "seconds_of"]


class KnockOuts:
    """What the loss rises by when single neurons are set to their mean at all tokens; of a row for one token, there.

    The compact network (analysis/compact.py) is the same function, so its effects are the same but for rounding. A
    neuron that it leaves out is constant, or nothing depends on it: it has no effect. Heads of different widths, whose
    neurons it numbers otherwise, are knocked out in the whole network.

    Args:
        bimt: the network.
        inputs: the examples.
        loss: the network's output for them -> a number.
        hooks: row name -> the hook of its neurons.
    """

    def __init__(self, bimt: BIMT, inputs: Tensor, loss: Callable[[Any], float], hooks: Mapping[str, str]) -> None:
        self._whole, self._inputs, self._loss, self._hooks = bimt.model, inputs, loss, hooks
        self._small, self._kept = bimt.model, {}
        if can_compact(bimt.model):
            small = compact(bimt)
            self._small, self._kept = small.model, {name: each.tolist() for name, each in small.kept.items()}
        _, seen = seen_at(self._small, set(hooks.values()), inputs[:1])
        self._widths = {hook: one.flat.shape[-1] for hook, one in seen.items()}
        self.seconds = seconds_of(self._small, inputs, loss)

    def of(self, row: Row, neurons: Sequence[int]) -> list[float]:
        """The effect of each of a row's neurons.

        Raises:
            InputError: as ``ablate_each``.
        """
        hook = self._hooks[row.name]
        kept = self._kept.get(row.population)
        if kept is None or len(kept) != self._widths[hook]:
            each = ablate_each(self._whole, hook, self._inputs, self._loss, neurons=neurons, position=row.token)
            return [one.change for one in each]
        number = {neuron: i for i, neuron in enumerate(kept)}
        effects = dict.fromkeys(neurons, 0.0)
        there = [neuron for neuron in neurons if neuron in number]
        if there:
            places = [number[neuron] for neuron in there]
            each = ablate_each(self._small, hook, self._inputs, self._loss, neurons=places, position=row.token)
            effects |= {neuron: one.change for neuron, one in zip(there, each, strict=True)}
        return list(effects.values())


def seconds_of(model: nn.Module, inputs: Tensor, loss: Callable[[Any], float]) -> float:
    """What one run of a model takes of this thread's own time, whatever else the machine does: the quicker of two."""
    took = []
    with torch.no_grad():
        for _ in range(2):
            start = time.thread_time()
            loss(model(inputs))
            took.append(time.thread_time() - start)
    return min(took)
