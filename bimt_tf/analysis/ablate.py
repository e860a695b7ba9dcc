"""Ablation: knock out neurons, heads or weights, and measure what that does (paper, Section 3.3).

Neurons are overwritten where a hook sees them: with 0, with their mean over the batch position by position, or with
what another example has there ("resample"); means and other examples are those of the run without ablation. Weights are
set to 0. The model is run in evaluation mode without gradients; hooks, modes and weights are put back, also after an
exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import require_examples, run_hooked
from bimt_tf.analysis.clean_run import clean_run, number_of
from bimt_tf.analysis.weights import Weight, checked_weights, without
from bimt_tf.analysis.written import Positions, Value, require_value, whole_numbers
from bimt_tf.errors import InputError, require_callable

__all__ = ["Ablation", "NeuronAblation", "ablate", "ablate_each"]

Named = Mapping[str, Sequence[int]]
"""Hook name -> numbers of neurons, or of heads."""


class Ablation(NamedTuple):
    """The metric without and with the ablation; ``change = after - before``."""

    before: float
    after: float
    change: float

    def as_dict(self) -> dict[str, float]:
        """The result as a dict of numbers, ready for JSON."""
        return self._asdict()


class NeuronAblation(NamedTuple):
    """What ablating one neuron (or head) alone does to the metric; ``change = after - before``."""

    neuron: int
    before: float
    after: float
    change: float

    def as_dict(self) -> dict[str, float]:
        """The result as a dict of numbers, ready for JSON."""
        return self._asdict()


def ablate(
    model: nn.Module,
    hooks: Named,
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    *,
    value: Value = "mean",
    position: Positions = None,
    heads: Named | None = None,
    weights: Sequence[Weight] = (),
    seed: int = 0,
) -> Ablation:
    """Ablate sets of neurons, heads and weights, all at once.

    Args:
        model: a HookedRootModule (RegressionTransformer, MLP) or a TransformerBridge.
        hooks: hook name -> neurons to ablate there; of q, k, v and z, neuron ``head * d_head + e`` is neuron e of
            its head. {} where heads or weights alone are meant.
        inputs: what the model takes, the batch first.
        metric: the model's output -> a number, such as a loss or an accuracy.
        value: what is written: "mean" over the batch per position, "zero", or "resample" (another example's).
        position: at which tokens, from the end if negative; all unless given.
        heads: hook name (of q, k, v or z) -> heads to ablate there, from 0.
        weights: (parameter, place) of single weights that are set to 0, e.g. ``[("embed.W_E", (0, 3))]``; names as
            ``model.named_parameters()`` has them.
        seed: of "resample".

    Raises:
        InputError: for no inputs, an unknown hook or parameter, a neuron, head, token or place that is not there or
            is named twice, nothing to ablate, a hook whose activations are not neurons, NaN or infinite, or a metric
            that is not a finite number.
    """
    _check(value, seed, inputs, metric)
    heads = {} if heads is None else heads
    if not isinstance(hooks, Mapping) or not isinstance(heads, Mapping) or not (hooks or heads or len(weights)):
        raise InputError(
            f"hooks names no neuron to ablate; give e.g. {{'blocks.0.mlp.hook_post': [3, 5]}}, found {hooks!r}"
        )
    wanted = {hook: whole_numbers(f"hook {hook!r}", neurons) for hook, neurons in hooks.items()}
    of_heads = {hook: whole_numbers(f"hook {hook!r}", these, "head") for hook, these in heads.items()}
    parameters = dict(model.named_parameters())
    cut = checked_weights(parameters, weights)
    before, clean = clean_run(model, list(dict.fromkeys([*hooks, *heads])), inputs, metric)
    edits = {}
    for hook, seen in clean.items():
        neurons = {*wanted.get(hook, ()), *seen.neurons_of(of_heads.get(hook, ()))}
        edits[hook] = seen.edit(sorted(neurons), value, position, seed)
    with without(parameters, cut) if cut else nullcontext():
        output = run_hooked(model, inputs, edits)
    after = number_of(metric, output, f"with {_said(wanted, of_heads, cut)} ablated")
    return Ablation(before, after, after - before)


def ablate_each(
    model: nn.Module,
    hook: str,
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    *,
    neurons: Sequence[int] | None = None,
    value: Value = "mean",
    position: Positions = None,
    whole_heads: bool = False,
    seed: int = 0,
) -> list[NeuronAblation]:
    """Ablate each neuron of a hook in turn: its importance to the metric. One run a neuron, and one without.

    Args:
        model: as :func:`ablate`.
        hook: hook name.
        inputs: as :func:`ablate`.
        metric: as :func:`ablate`.
        neurons: which, in the order wanted; by default all of them.
        value: as :func:`ablate`.
        position: as :func:`ablate`.
        whole_heads: each head in turn instead; ``neurons`` are then numbers of heads, as is ``neuron`` of a result.
        seed: of "resample".

    Raises:
        InputError: as :func:`ablate`.
    """
    _check(value, seed, inputs, metric)
    kind = "head" if whole_heads else "neuron"
    wanted = None if neurons is None else whole_numbers(f"hook {hook!r}", neurons, kind)
    before, clean = clean_run(model, [hook], inputs, metric)
    seen = clean[hook]
    if wanted is None:
        wanted = list(range(seen.heads if whole_heads else seen.flat.shape[-1]))
    sets = [seen.neurons_of([one]) if whole_heads else [one] for one in wanted]
    edits = [seen.edit(these, value, position, seed) for these in sets]
    results = []
    for one, edit in zip(wanted, edits, strict=True):
        after = number_of(metric, run_hooked(model, inputs, {hook: edit}), f"with {kind} {one} of {hook!r} ablated")
        results.append(NeuronAblation(one, before, after, after - before))
    return results


def _said(neurons: Named, heads: Named, weights: Sequence[Weight]) -> str:
    """What is ablated, for an error."""
    named = (("neurons", neurons), ("heads", heads), ("weights", weights))
    return " and ".join(f"{kind} {found}" for kind, found in named if found)


def _check(value: str, seed: int, inputs: Tensor, metric: Callable[[Any], float]) -> None:
    require_value(value, seed)
    require_examples(inputs)
    require_callable("metric", metric)
