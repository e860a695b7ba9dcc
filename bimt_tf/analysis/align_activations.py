"""Similarity of neurons by what they do: the correlation of their activations on the same examples.

A neuron of a population that stands at several depths (the residual stream) is compared over all of them at once; q
and k of one index, whose scales are free of each other, each apart, and their mean is taken. Every token counts. Means
are taken off for each stage and token, so that what biases shift does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.activations import flat_neurons, require_examples, run_hooked
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["Activity", "activity_of", "correlations"]

CONSTANT = 1e-9
"""Of a neuron's own size: what varies by less does not vary."""


class Activity(NamedTuple):
    """What the active neurons of a network do.

    ``sets``: population -> one array for each set of stages that is compared apart: [observations, active neurons],
    means taken off, each column of length 1, or 0 for a neuron that does not vary. ``active``: population -> which
    neurons those columns are; ``sizes``: population -> all its neurons.
    """

    sets: dict[str, list[np.ndarray]]
    active: dict[str, np.ndarray]
    sizes: dict[str, int]


def activity_of(
    model: nn.Module, wiring: Wiring, inputs: Shaped[Tensor, "batch ..."], active: Mapping[str, np.ndarray]
) -> Activity:
    """What the active neurons do on the examples; populations that no hook shows are left out.

    Args:
        model: with hooks.
        wiring: its wiring.
        inputs: the examples, the batch first.
        active: population -> which of its neurons are active.

    Raises:
        InputError: for no examples, a model without hooks, or activations that are not finite.
    """
    require_examples(inputs)
    hooks = stage_hooks(model, wiring)
    columns = {stage.name: torch.from_numpy(np.flatnonzero(active[stage.population])) for stage in wiring.stages}
    seen: dict[str, np.ndarray] = {}

    def save(stage: str, hook: str, activation: Tensor) -> None:
        flat = flat_neurons(hook, activation).detach()[..., columns[stage]]
        if not flat.isfinite().all():
            raise InputError(f"hook {hook!r} has NaN or infinite activations on these examples")
        flat = flat.to(torch.float64)
        centred = flat - flat.mean(0)
        tiny = centred.abs().amax(0) <= CONSTANT * flat.abs().amax(0)
        seen[stage] = centred.masked_fill(tiny, 0.0).flatten(0, -2).numpy(force=True)

    edits = {hook: partial(save, stage, hook) for stage, hook in hooks.items()}
    run_hooked(model, inputs, edits)
    found: dict[str, list[np.ndarray]] = {}
    for name in wiring.populations:
        stages = [stage for stage in wiring.stages if stage.population == name and stage.name in seen]
        if not stages:
            continue
        apart = len({stage.depth for stage in stages}) < len(stages)  # q and k stand side by side
        sets = [[one] for one in stages] if apart else [stages]
        found[name] = [_unit(np.concatenate([seen[stage.name] for stage in one])) for one in sets]
    where = {name: np.flatnonzero(active[name]) for name in found}
    return Activity(found, where, {name: wiring.populations[name].size for name in found})


def correlations(mine: Activity, others: Activity) -> dict[str, np.ndarray]:
    """Population -> correlation of reference neuron a with the other's neuron b, [neurons, neurons]; 0 for others.

    The mean over the sets (q and k) in which either varies; their signs change together.
    """
    found = {}
    for name, sets in mine.sets.items():
        table = np.zeros((mine.sizes[name], mine.sizes[name]))
        pairs = list(zip(sets, others.sets[name], strict=True))
        told = np.sum([np.logical_or.outer(one.any(0), there.any(0)) for one, there in pairs], axis=0)  # either varies
        total = sum(one.T @ there for one, there in pairs)
        table[np.ix_(mine.active[name], others.active[name])] = total / np.maximum(told, 1)
        found[name] = table
    return found


def _unit(values: np.ndarray) -> np.ndarray:
    lengths = np.sqrt((values**2).sum(0))
    return values / np.where(lengths > 0, lengths, 1.0)
