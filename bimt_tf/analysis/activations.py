"""Running a model with hooks, and its activations with their neurons on one axis; used by probes and ablations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from bimt_tf.errors import InputError, require_kind, unknown
from bimt_tf.models.modes import evaluating

__all__ = ["activations", "flat_neurons", "require_examples", "run_hooked"]


def activations(
    model: nn.Module, hook: str, position: int | None = None, *, inputs: Shaped[Tensor, "batch ..."]
) -> Float[Tensor, "batch neurons"]:
    """What passes ``hook`` at one position, on the model's device.

    Args:
        model: a HookedRootModule or a TransformerBridge.
        hook: hook name; of q, k, v and z, neuron ``head * d_head + e`` is neuron e of its head.
        position: the token, from the end if negative; None for activations without positions.
        inputs: what the model takes, the batch first.

    Raises:
        InputError: for no inputs, an unknown hook, one without activations or neurons, a position out of range, or
            activations that are NaN or infinite.
    """
    require_examples(inputs)
    if not isinstance(hook, str):
        raise InputError(f"hook must be the name of one, found {hook!r}")
    seen: dict[str, Tensor] = {}

    def save(activation: Tensor) -> None:
        seen[hook] = _at(hook, flat_neurons(hook, activation), position).detach().clone()

    run_hooked(model, inputs, {hook: save})
    if len(seen[hook]) != len(inputs):
        raise InputError(f"hook {hook!r} has {len(seen[hook])} activations for {len(inputs)} inputs: it has no batch")
    if not seen[hook].is_floating_point():
        raise InputError(f"hook {hook!r} holds no neurons: its activations are {seen[hook].dtype}")
    if not seen[hook].isfinite().all():
        raise InputError(f"hook {hook!r} has NaN or infinite activations at position {position} on these inputs")
    return seen[hook]


def require_examples(inputs: Tensor) -> None:
    """Raise InputError unless ``inputs`` is a tensor that holds at least one example."""
    require_kind("inputs", inputs, Tensor)
    if inputs.ndim == 0 or len(inputs) == 0:
        raise InputError(f"inputs holds no example: at least one is needed, found a tensor {list(inputs.shape)}")


def run_hooked(model: nn.Module, inputs: Tensor, edits: Mapping[str, Callable[[Tensor], Tensor | None]]) -> Any:
    """The model's output, with each ``edits[hook]`` called on what passes there; a tensor it returns is passed on.

    Without gradients, in evaluation mode. The hooks are taken off and every module's mode is restored, also after
    an exception; hooks that the user has put on stay and run.

    Raises:
        InputError: for a model without hooks, an unknown hook name, or a hook that this run does not reach.
    """
    known = getattr(model, "hook_dict", None)
    if known is None or not hasattr(model, "run_with_hooks"):
        raise InputError(f"the model must be a HookedRootModule or a TransformerBridge, found {type(model).__name__}")
    for name in edits:
        if name not in known:
            raise unknown("hook", str(name), known)
    run_with_hooks: Callable[..., Any] = getattr(model, "run_with_hooks")  # noqa: B009  (nn.Module does not declare it)
    reached: set[str] = set()
    fwd_hooks = [(name, partial(_call, reached, name, edit)) for name, edit in edits.items()]
    with evaluating(model), torch.no_grad():
        output = run_with_hooks(inputs, fwd_hooks=fwd_hooks)
    for name in edits:
        if name not in reached:
            raise InputError(f"hook {name!r} has no activations: this run of the model does not reach it")
    return output


def flat_neurons(hook: str, activation: Tensor) -> Float[Tensor, "batch *pos neurons"]:
    """Activations with their neurons on one last axis: [batch pos head d_head] becomes [batch pos head*d_head].

    Raises:
        InputError: for attention scores and patterns, whose axes are no neurons, and other shapes.
    """
    if hook.endswith(("attn_scores", "pattern")) or activation.ndim not in (2, 3, 4):
        raise InputError(
            f"hook {hook!r} holds no neurons: its activation {list(activation.shape)} is neither [batch, neurons], "
            "[batch, pos, neurons] nor [batch, pos, head, d_head]"
        )
    return activation.flatten(-2) if activation.ndim == 4 else activation


def _call(
    reached: set[str], name: str, edit: Callable[[Tensor], Tensor | None], tensor: Tensor, hook: Any
) -> Tensor | None:
    reached.add(name)
    return edit(tensor)


def _at(hook: str, activation: Tensor, position: int | None) -> Float[Tensor, "batch neurons"]:
    if activation.ndim == 2:
        if position is not None:
            raise InputError(f"hook {hook!r} has no positions ({list(activation.shape)}): position must be None")
        return activation
    n = activation.shape[1]
    whole = isinstance(position, SupportsIndex) and not isinstance(position, bool)
    if not whole or not -n <= position < n:  # type: ignore[operator]
        raise InputError(f"hook {hook!r} has positions 0 to {n - 1} (or -{n} to -1), found {position!r}")
    return activation[:, position]
