"""The stages of a network as a probe sees them: its hooks in order, and which tokens of the input reach each place.

What reaches a place is found by asking: one token of the inputs is exchanged for another example's, and where the
activations change, that token reaches. So causal attention, attention to both sides and no attention are told apart
without knowing the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import flat_neurons, require_examples
from bimt_tf.analysis.clean_run import seen_at
from bimt_tf.errors import InputError
from bimt_tf.models.modes import evaluating

__all__ = ["Stage", "reached_hooks", "reaching_tokens", "stages", "tokens_of", "whole_stage", "whole_stages"]

ASKED = 64
"""Examples on which it is found which tokens reach a place."""
ROUNDING = 100
"""Roundings of an activation's dtype, of the largest one, below which a change is none."""


class Stage(NamedTuple):
    """A hook that holds neurons: its number of tokens (None for none), of heads (None for none), and of neurons."""

    hook: str
    tokens: int | None
    heads: int | None
    neurons: int


def stages(model: nn.Module, inputs: Shaped[Tensor, "batch ..."]) -> dict[str, Stage]:
    """The hooks that hold neurons of each example, in the order in which the model computes them.

    Raises:
        InputError: for no inputs, or a model without hooks.
    """
    require_examples(inputs)
    found: dict[str, Stage] = {}
    few = inputs[:2]

    def note(name: str, activation: Any) -> None:
        if not isinstance(activation, Tensor) or not activation.is_floating_point() or len(activation) != len(few):
            return
        if activation.ndim in (2, 3, 4) and not name.endswith(("attn_scores", "pattern")):
            heads = activation.shape[2] if activation.ndim == 4 else None
            tokens = activation.shape[1] if activation.ndim > 2 else None
            found.setdefault(name, Stage(name, tokens, heads, activation.shape[-1] * (heads or 1)))

    _watched(model, few, reached_hooks(model, few), note)
    return found


def tokens_of(inputs: Shaped[Tensor, "batch ..."]) -> int | None:
    """How many tokens an input has: those of [batch, tokens] of whole numbers and of [batch, tokens, ...]."""
    if inputs.ndim > 2 or (inputs.ndim == 2 and not inputs.is_floating_point()):
        return inputs.shape[1]
    return None


def reaching_tokens(
    model: nn.Module, inputs: Shaped[Tensor, "batch ..."], hooks: Mapping[str, Stage]
) -> dict[str, np.ndarray]:
    """Hook -> [its tokens, the input's tokens]: whether that token of the input changes the activations there.

    A hook without tokens, and inputs without, have one row, and one column.
    """
    few, n = inputs[:ASKED], tokens_of(inputs)
    if n is None or len(few) < 2:
        return {hook: np.ones((stage.tokens or 1, n or 1), dtype=bool) for hook, stage in hooks.items()}
    before = whole_stages(model, few, hooks)
    reached = {hook: np.zeros((stage.tokens or 1, n), dtype=bool) for hook, stage in hooks.items()}
    for token in range(n):
        changed = few.clone()
        changed[:, token] = few[:, token].roll(1, 0)
        for hook, values in whole_stages(model, changed, hooks).items():
            least = ROUNDING * torch.finfo(values.dtype).eps * float(before[hook].abs().max())
            moved = ((values - before[hook]).abs() > least).flatten(2 if values.ndim > 2 else 1).any(-1).any(0)
            reached[hook][:, token] = moved.reshape(-1).cpu().numpy()
    return reached


def whole_stage(model: nn.Module, inputs: Shaped[Tensor, "batch ..."], hook: str) -> Tensor:
    """All activations of a hook, [batch, neurons] or [batch, tokens, neurons]; heads lie end to end.

    Raises:
        InputError: for activations that are NaN or infinite.
    """
    return seen_at(model, [hook], inputs)[1][hook].flat


def whole_stages(
    model: nn.Module, inputs: Shaped[Tensor, "batch ..."], hooks: Mapping[str, Stage]
) -> dict[str, Tensor]:
    """All activations of several hooks, as :func:`whole_stage` gives them of one."""
    kept: dict[str, Tensor] = {}

    def keep(name: str, activation: Any) -> None:
        if name not in kept:
            kept[name] = flat_neurons(name, activation).detach().clone()

    _watched(model, inputs, list(hooks), keep)
    return kept


def reached_hooks(model: nn.Module, inputs: Shaped[Tensor, "batch ..."]) -> list[str]:
    """The hooks that a run of the model reaches, in its order; of several names of one, the last (TransformerLens's).

    Raises:
        InputError: for a model without hooks.
    """
    known: Mapping[str, nn.Module] | None = getattr(model, "hook_dict", None)
    if known is None or not hasattr(model, "run_with_hooks"):
        raise InputError(f"the model must be a HookedRootModule or a TransformerBridge, found {type(model).__name__}")
    order: dict[str, None] = {}
    names = {id(point): name for name, point in known.items()}
    # Plain hooks of torch: TransformerBridge refuses its own at points that its settings leave out.
    put_on = [
        point.register_forward_hook(partial(_note, order, name))
        for name, point in known.items()
        if names[id(point)] == name
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(inputs)
    finally:
        for hook in put_on:
            hook.remove()
    return list(order)


def _note(order: dict[str, None], name: str, *_: Any) -> None:
    order.setdefault(name)


def _watched(model: nn.Module, inputs: Tensor, hooks: Sequence[str], note: Callable[[str, Any], None]) -> None:
    """Run the model, in evaluation mode without gradients, and show the hooks' activations to ``note``."""

    def shown(name: str) -> tuple[str, Callable[[Any, Any], None]]:
        return name, lambda activation, hook: note(name, activation)

    run_with_hooks: Callable[..., Any] = getattr(model, "run_with_hooks")  # noqa: B009  (nn.Module does not declare it)
    with evaluating(model), torch.no_grad():
        run_with_hooks(inputs, fwd_hooks=[shown(name) for name in hooks])
