"""Ablation: knock out neurons where a hook sees them, and measure what that does (paper, Section 3.3).

Zero ablation writes 0; mean ablation writes each neuron's mean over the batch, position by position, taken from the
run without ablation. The model is run in evaluation mode without gradients; hooks and modes are put back, also
after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import flat_neurons, run_hooked
from bimt_tf.errors import InputError, unknown

__all__ = ["Ablation", "NeuronAblation", "ablate", "ablate_each"]

_VALUES = ("mean", "zero")


class Ablation(NamedTuple):
    """The metric without and with the ablation; ``change = after - before``."""

    before: float
    after: float
    change: float


class NeuronAblation(NamedTuple):
    """What ablating one neuron alone does to the metric; ``change = after - before``."""

    neuron: int
    before: float
    after: float
    change: float


def ablate(
    model: nn.Module,
    hooks: Mapping[str, Sequence[int]],
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    *,
    value: Literal["mean", "zero"] = "mean",
) -> Ablation:
    """Ablate sets of neurons, all at once.

    Args:
        model: a HookedRootModule (RegressionTransformer, MLP) or a TransformerBridge.
        hooks: hook name -> neurons to ablate there; of q, k, v and z, neuron ``head * d_head + e`` is neuron e of
            its head.
        inputs: what the model takes, the batch first.
        metric: the model's output -> a number, such as a loss or an accuracy.
        value: what is written: "mean" over the batch per position, or "zero".

    Raises:
        InputError: for an unknown hook, a neuron it does not have, no neurons at all, a hook whose activations are
            not neurons or NaN, or a metric that is not a number.
    """
    _check_value(value)
    for hook, neurons in hooks.items():
        if len(neurons) == 0:
            raise InputError(f"hook {hook!r} names no neuron to ablate")
    if not hooks:
        raise InputError("hooks names no neuron to ablate; give e.g. {'blocks.0.mlp.hook_post': [3, 5]}")
    before, clean = _clean(model, list(hooks), inputs, metric)
    edits = {hook: _edit(hook, clean[hook], neurons, value) for hook, neurons in hooks.items()}
    after = _number(metric, run_hooked(model, inputs, edits))
    return Ablation(before, after, after - before)


def ablate_each(
    model: nn.Module,
    hook: str,
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    *,
    neurons: Sequence[int] | None = None,
    value: Literal["mean", "zero"] = "mean",
) -> list[NeuronAblation]:
    """Ablate each neuron of a hook in turn: its importance to the metric. One run a neuron, and one without.

    Args:
        model: as :func:`ablate`.
        hook: hook name.
        inputs: as :func:`ablate`.
        metric: as :func:`ablate`.
        neurons: which, in the order wanted; by default all of them.
        value: as :func:`ablate`.

    Raises:
        InputError: as :func:`ablate`.
    """
    _check_value(value)
    before, clean = _clean(model, [hook], inputs, metric)
    results = []
    for neuron in range(clean[hook].shape[-1]) if neurons is None else neurons:
        edit = _edit(hook, clean[hook], [neuron], value)
        after = _number(metric, run_hooked(model, inputs, {hook: edit}))
        results.append(NeuronAblation(int(neuron), before, after, after - before))
    return results


def _clean(
    model: nn.Module, hooks: list[str], inputs: Tensor, metric: Callable[[Any], float]
) -> tuple[float, dict[str, Tensor]]:
    """The metric without ablation, and each hook's mean activations [*pos neurons]."""
    seen: dict[str, Tensor] = {}

    def save(hook: str, activation: Tensor) -> None:
        seen[hook] = flat_neurons(hook, activation).mean(0)

    before = _number(metric, run_hooked(model, inputs, {hook: partial(save, hook) for hook in hooks}))
    for hook in hooks:
        if hook not in seen:
            raise InputError(f"hook {hook!r} has no activations: this run of the model does not reach it")
        if seen[hook].isnan().any():
            raise InputError(f"hook {hook!r} has NaN activations on these inputs")
    return before, seen


def _edit(hook: str, mean: Tensor, neurons: Sequence[int], value: str) -> Callable[[Tensor], Tensor]:
    size = mean.shape[-1]
    for neuron in neurons:
        if isinstance(neuron, bool) or int(neuron) != neuron or not 0 <= neuron < size:
            raise InputError(f"hook {hook!r} has neurons 0 to {size - 1}, found {neuron!r}")
    columns = [int(neuron) for neuron in neurons]

    def edit(activation: Tensor) -> Tensor:
        flat = flat_neurons(hook, activation).clone()
        flat[..., columns] = mean[..., columns] if value == "mean" else 0.0
        return flat.reshape(activation.shape)

    return edit


def _check_value(value: str) -> None:
    if value not in _VALUES:
        raise unknown("value to write", str(value), _VALUES)


def _number(metric: Callable[[Any], float], output: Any) -> float:
    with torch.no_grad():
        found = metric(output)
    try:
        return float(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"metric must give a number, found a {type(found).__name__}") from error
