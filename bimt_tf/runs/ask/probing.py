"""Which neurons hold a quantity of the task, and where it appears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bimt_tf.analysis.probe import probe
from bimt_tf.analysis.probe_map import ProbeMap, probe_map
from bimt_tf.analysis.probe_results import ProbeResult
from bimt_tf.analysis.probe_values import Kind
from bimt_tf.analysis.progress import Progress
from bimt_tf.errors import InputError, unknown
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Probe
from bimt_tf.tasks.own_model import OWN
from bimt_tf.training.device import dtype_of, model_on

__all__ = ["VALUES", "mapped", "probed", "untrained_network"]

VALUES = "values"
"""What a target is called that is an array of the user's."""
MOST_EXAMPLES = 2_000
"""Held-out examples of a map, at most: it makes some hundred read-outs."""


def probed(
    trained: Trained, wanted: Probe, *, values: Any = None, kind: Kind | None = None, untrained: nn.Module | None = None
) -> ProbeResult:
    """What one hook at one position tells about a quantity of the task, or about values of the user's.

    Args:
        trained: the network; it is asked on its held-out examples.
        wanted: hook, quantity and position; the quantity is but a name where there are values.
        values: one number or class a held-out example, instead of a quantity of the task.
        kind: what the target is; as ``probe`` unless given.
        untrained: the network to compare with; :func:`untrained_network` unless given.

    Raises:
        InputError: for a target that is no quantity of the task, examples without any, or what ``probe`` refuses.
    """
    fresh = untrained or untrained_network(trained)
    return probe(
        trained.model, wanted.hook, _target(trained, wanted.target, values), wanted.position,
        inputs=trained.held_out.inputs, untrained=fresh, kind=kind, name=wanted.target,
    )  # fmt: skip


def mapped(
    trained: Trained,
    target: str,
    *,
    values: Any = None,
    hooks: Sequence[str] | None = None,
    kind: Kind | None = None,
    regressor: str = "linear",
    untrained: nn.Module | None = None,
    progress: Progress | None = None,
) -> ProbeMap:
    """Where a quantity of the task, or values of the user's, can be read, on the first MOST_EXAMPLES held-out examples.

    Raises:
        InputError: as :func:`probed`, and for an unknown hook or regressor.
    """
    wanted = _target(trained, target, values)
    inputs = trained.held_out.inputs
    if len(wanted) == len(inputs):  # else probe_map refuses them
        wanted = wanted[:MOST_EXAMPLES]
    return probe_map(
        trained.model, wanted, inputs=inputs[:MOST_EXAMPLES], hooks=hooks, kind=kind, name=target, regressor=regressor,
        untrained=untrained or untrained_network(trained), progress=progress,
    )  # fmt: skip


def untrained_network(trained: Trained) -> nn.Module | None:
    """The run's network before any training, drawn with the seed after the run's own; None where there is none.

    There is none of a model of the user's, which the task cannot build, and of one that is pretrained.
    """
    config, task = trained.config, trained.task
    if task.pretrained or task.name == OWN.name:
        return None
    fresh = task.model(config.model, config.data, config.seed + 1, dtype_of(config))
    return model_on(fresh, trained.device)


def _target(trained: Trained, name: str, values: Any) -> Tensor:
    """The quantity of this name, or the values given, as a tensor.

    Raises:
        InputError: for another name, or values that are none.
    """
    if values is not None:
        try:
            return torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"values must be numbers, one an input, found a {type(values).__name__}") from error
    quantities = trained.held_out.quantities
    if not quantities:
        raise InputError(
            f"the examples of {trained.config.task} have no named quantities: give values of your own, one for each of "
            f"the {len(trained.held_out.inputs):,} held-out examples (values=, or --values FILE.npy)"
        )
    if name not in quantities:
        raise unknown(f"target of {trained.config.task}", name, quantities)
    return quantities[name]
