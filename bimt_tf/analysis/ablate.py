"""Ablation: knock out neurons where a hook sees them, and measure what that does (paper, Section 3.3).

Zero ablation writes 0; mean ablation writes each neuron's mean over the batch, position by position, taken from the
run without ablation. The model is run in evaluation mode without gradients; hooks and modes are put back, also
after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import index
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import flat_neurons, require_examples, run_hooked
from bimt_tf.analysis.finite import finite_number
from bimt_tf.errors import InputError, require_callable, require_known

__all__ = ["Ablation", "NeuronAblation", "ablate", "ablate_each"]

_VALUES = ("mean", "zero")


class Ablation(NamedTuple):
    """The metric without and with the ablation; ``change = after - before``."""

    before: float
    after: float
    change: float

    def as_dict(self) -> dict[str, float]:
        """The result as a dict of numbers, ready for JSON."""
        return self._asdict()


class NeuronAblation(NamedTuple):
    """What ablating one neuron alone does to the metric; ``change = after - before``."""

    neuron: int
    before: float
    after: float
    change: float

    def as_dict(self) -> dict[str, float]:
        """The result as a dict of numbers, ready for JSON."""
        return self._asdict()


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
        InputError: for no inputs, an unknown hook, a neuron it does not have or that is named twice, no neurons at all,
            a hook whose activations are not neurons, NaN or infinite, or a metric that is not a finite number.
    """
    _check(value, inputs, metric)
    if not isinstance(hooks, Mapping) or not hooks:
        raise InputError(
            f"hooks names no neuron to ablate; give e.g. {{'blocks.0.mlp.hook_post': [3, 5]}}, found {hooks!r}"
        )
    wanted = {hook: _listed(hook, neurons) for hook, neurons in hooks.items()}
    before, clean = _clean(model, list(hooks), inputs, metric)
    edits = {hook: _edit(hook, clean[hook], neurons, value) for hook, neurons in wanted.items()}
    after = _number(metric, run_hooked(model, inputs, edits), f"with neurons {wanted} ablated")
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
    _check(value, inputs, metric)
    wanted = None if neurons is None else _listed(hook, neurons)
    before, clean = _clean(model, [hook], inputs, metric)
    wanted = list(range(clean[hook].shape[-1])) if wanted is None else wanted
    edits = [_edit(hook, clean[hook], [neuron], value) for neuron in wanted]
    results = []
    for neuron, edit in zip(wanted, edits, strict=True):
        after = _number(metric, run_hooked(model, inputs, {hook: edit}), f"with neuron {neuron} of {hook!r} ablated")
        results.append(NeuronAblation(neuron, before, after, after - before))
    return results


def _clean(
    model: nn.Module, hooks: list[str], inputs: Tensor, metric: Callable[[Any], float]
) -> tuple[float, dict[str, Tensor]]:
    """The metric without ablation, and each hook's mean activations [*pos neurons]."""
    seen: dict[str, Tensor] = {}

    def save(hook: str, activation: Tensor) -> None:
        seen[hook] = flat_neurons(hook, activation).mean(0)

    output = run_hooked(model, inputs, {hook: partial(save, hook) for hook in hooks})
    for hook in hooks:
        if not seen[hook].isfinite().all():
            raise InputError(f"hook {hook!r} has NaN or infinite activations on these inputs")
    return _number(metric, output, "without ablation"), seen


def _listed(hook: str, neurons: Sequence[int]) -> list[int]:
    """The neurons as whole numbers, each once."""
    try:
        found = [index(neuron) for neuron in neurons if not isinstance(neuron, bool)]
    except TypeError as error:
        raise InputError(f"neurons of hook {hook!r} must be whole numbers such as [3, 5], found {neurons!r}") from error
    if len(found) < len(neurons):
        raise InputError(f"neurons of hook {hook!r} must be whole numbers such as [3, 5], found {neurons!r}")
    if not found:
        raise InputError(f"hook {hook!r} names no neuron to ablate")
    for neuron in found:
        if found.count(neuron) > 1:
            raise InputError(f"neuron {neuron} of hook {hook!r} is named {found.count(neuron)} times; name it once")
    return found


def _edit(hook: str, mean: Tensor, neurons: list[int], value: str) -> Callable[[Tensor], Tensor]:
    size = mean.shape[-1]
    for neuron in neurons:
        if not 0 <= neuron < size:
            raise InputError(f"hook {hook!r} has neurons 0 to {size - 1}, found {neuron}")

    def edit(activation: Tensor) -> Tensor:
        flat = flat_neurons(hook, activation).clone()
        flat[..., neurons] = mean[..., neurons] if value == "mean" else 0.0
        return flat.reshape(activation.shape)

    return edit


def _check(value: str, inputs: Tensor, metric: Callable[[Any], float]) -> None:
    require_known("value to write", value, _VALUES)
    require_examples(inputs)
    require_callable("metric", metric)


def _number(metric: Callable[[Any], float], output: Any, when: str) -> float:
    with torch.no_grad():
        return finite_number(metric(output), "metric", when)
