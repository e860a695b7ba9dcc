"""What an intervention writes at a hook: which entries, and the values that take their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bimt_tf.analysis.activations import flat_neurons
from bimt_tf.errors import InputError, require_known, require_seed

__all__ = ["Positions", "Value", "entries_at", "varying", "in_place", "require_value", "whole_numbers", "writing"]

Value = Literal["mean", "zero", "resample"]
"""What is written: each neuron's mean over the batch position by position, 0, or what another example has there."""

Positions = int | Sequence[int] | None
"""Tokens, from the end if negative; None for all of them, and for activations without tokens."""


VARIES = 1e-3
"""A neuron varies if it does so by more than this share of the largest variation at its hook and positions."""


def require_value(value: str, seed: int) -> None:
    """Raise InputError unless ``value`` can be written, with this seed."""
    require_known("value to write", value, ("mean", "zero", "resample"))
    require_seed(seed)


def whole_numbers(of: str, numbers: Sequence[int], kind: str = "neuron") -> list[int]:
    """Numbers of neurons or heads, each once.

    Raises:
        InputError: for what is no whole number, none at all, or one that is named twice.
    """
    try:
        found = [index(number) for number in numbers if not isinstance(number, bool)]
    except TypeError:
        found = []
    if len(found) < (len(numbers) if hasattr(numbers, "__len__") else 1):
        raise InputError(f"{kind}s of {of} must be whole numbers such as [3, 5], found {numbers!r}")
    if not found:
        raise InputError(f"{of} names no {kind}")
    for number in found:
        if found.count(number) > 1:
            raise InputError(f"{kind} {number} of {of} is named {found.count(number)} times; name it once")
    return found


def entries_at(
    hook: str, shape: Sequence[int], neurons: Sequence[int] | None, position: Positions
) -> Bool[Tensor, "*pos neurons"]:
    """Which entries of an activation are written.

    Args:
        hook: its hook, for errors.
        shape: [*pos, neurons], of the activation with its neurons on one axis, without the batch.
        neurons: which; None for all.
        position: at which tokens.

    Raises:
        InputError: for a neuron or a token that the hook does not have, or one that is named twice.
    """
    chosen = torch.zeros(*shape, dtype=torch.bool)
    places = range(shape[-1]) if neurons is None else neurons
    for neuron in places:
        if not 0 <= neuron < shape[-1]:
            raise InputError(f"hook {hook!r} has neurons 0 to {shape[-1] - 1}, found {neuron}")
    columns = list(places)
    if position is None:
        chosen[..., columns] = True
        return chosen
    if len(shape) == 1:
        raise InputError(f"hook {hook!r} has no positions (its activation is [batch, {shape[0]}]): leave position out")
    rows = [position] if not isinstance(position, Sequence) else position
    for row in whole_numbers(f"hook {hook!r}", rows, "position"):
        if not -shape[0] <= row < shape[0]:
            raise InputError(f"hook {hook!r} has positions 0 to {shape[0] - 1} (or -{shape[0]} to -1), found {row}")
        if row < 0 and row + shape[0] in rows:
            raise InputError(f"positions {row + shape[0]} and {row} of hook {hook!r} are the same token; name it once")
        chosen[row, columns] = True
    return chosen


def varying(activations: Float[Tensor, "batch *pos neurons"], entries: Bool[Tensor, "*pos neurons"]) -> list[int]:
    """The neurons that vary over the examples, by more than a thousandth of what varies most there.

    Args:
        activations: what a hook saw.
        entries: the positions (and neurons) that count.
    """
    spread = torch.where(entries.to(activations.device), activations.amax(0) - activations.amin(0), 0.0)
    widest = spread.reshape(-1, spread.shape[-1]).amax(0)
    return [] if float(widest.max()) == 0 else (widest > VARIES * widest.max()).nonzero().flatten().tolist()


def in_place(value: str, clean: Float[Tensor, "batch *pos neurons"], seed: int) -> Float[Tensor, "some *pos neurons"]:
    """What takes the place of activations: [1, *pos, neurons], or for "resample" one of another example for each.

    The other example is the next one in a random order, the same for every hook of a batch and seed, and never itself.

    Raises:
        InputError: for "resample" with one example alone.
    """
    if value == "zero":
        return torch.zeros_like(clean[:1])
    if value == "mean":
        return clean.mean(0, keepdim=True)
    if len(clean) < 2:
        raise InputError("value 'resample' takes the value of another example: at least two are needed, found 1")
    order = torch.randperm(len(clean), generator=torch.Generator().manual_seed(seed)).to(clean.device)
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return clean[other]


def writing(
    hook: str, entries: Bool[Tensor, "*pos neurons"], replacement: Float[Tensor, "some *pos neurons"]
) -> Callable[[Tensor], Tensor]:
    """A function for :func:`run_hooked` that writes ``replacement`` at ``entries`` and leaves the others."""

    def edit(activation: Tensor) -> Tensor:
        flat = flat_neurons(hook, activation)
        return torch.where(entries.to(flat.device), replacement, flat).reshape(activation.shape)

    return edit
