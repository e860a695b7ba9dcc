"""A model's outputs on a batch, and whether they are the same up to rounding.

    tolerance = max(sqrt(eps of the output's dtype), 1e-5), times the output's largest value

Adding in another order changes a result by rounding. Many models compute norms, attention and rotations in float32
whatever their dtype is, so float64 is held to 1e-5 too; measured changes are below 1e-6 (docs/architectures.md).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Difference", "compare", "outputs", "quietly", "tolerance_of"]

_OF_NEURONS = ("hidden_states", "attentions", "past_key_values", "encoder_hidden_states", "cross_attentions")
"""Fields of an output that show neurons in their order, which a reordering changes as it should."""


class Difference(NamedTuple):
    """How far an output moved, how large it is, and how far it may move."""

    name: str
    change: float
    size: float
    allowed: float


def tolerance_of(dtype: torch.dtype) -> float:
    """How much of its largest value an output of this dtype may move by adding in another order."""
    return max(float(torch.finfo(dtype).eps) ** 0.5, 1e-5)


@contextmanager
def quietly(model: nn.Module) -> Iterator[None]:
    """The model in eval mode without autograd; modes, buffers and random state are as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone(), buffer._version) for buffer in model.buffers() if not buffer.is_inference()]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            for module, _ in modes:
                module.training = False
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, kept, version in buffers:
                if buffer._version != version and buffer.shape == kept.shape:
                    buffer.copy_(kept)


def outputs(model: nn.Module, batch: object) -> dict[str, Tensor]:
    """The tensors that a model returns for a batch, copied, by their place in a tuple, dict or output class.

    Args:
        model: in eval mode (:func:`quietly`).
        batch: what it takes: a tensor, a tuple of arguments, or a mapping of named ones. It is copied first.
    """
    given = copy.deepcopy(batch)
    if isinstance(given, Mapping):
        found = model(**given)
    elif isinstance(given, (tuple, list)):
        found = model(*given)
    else:
        found = model(given)
    return {name or "output": tensor.detach().clone() for name, tensor in _tensors(found, "")}


def _tensors(found: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(found, Tensor):
        yield name, found
    elif isinstance(found, Mapping):
        for key, value in found.items():
            if key not in _OF_NEURONS:
                yield from _tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(found, Sequence) and not isinstance(found, (str, bytes)):
        for i, value in enumerate(found):
            yield from _tensors(value, f"{name}[{i}]")
    elif is_dataclass(found) and not isinstance(found, type):
        own = {field.name: getattr(found, field.name) for field in fields(found)}
        yield from _tensors(own, name)


def compare(before: Mapping[str, Tensor], after: Mapping[str, Tensor], tolerance: float | None) -> Difference | None:
    """The output that moved too far, the worst in its own measure; None if all stayed.

    What is no number (NaN, infinities, the lowest numbers that mask) must stay where it is; whole numbers must be
    equal.
    """
    worst: Difference | None = None
    for name in {**before, **after}:
        if name not in before or name not in after or before[name].shape != after[name].shape:
            return Difference(name, float("inf"), 0.0, 0.0)
        found = _difference(name, before[name], after[name], tolerance)
        if found.change > found.allowed and (worst is None or found.change / found.size > worst.change / worst.size):
            worst = found
    return worst


def _difference(name: str, before: Tensor, after: Tensor, tolerance: float | None) -> Difference:
    if not before.is_floating_point():
        moved = not torch.equal(before, after)
        return Difference(name, float(moved), 1.0, 0.0)
    most = torch.finfo(before.dtype).max
    said = [tensor.isfinite() & (tensor.abs() < most) for tensor in (before, after)]
    if not torch.equal(*said):
        return Difference(name, float("inf"), 1.0, 0.0)
    old, new = (torch.where(said[0], tensor, 0).double() for tensor in (before, after))
    size = float(old.abs().max()) if old.numel() else 0.0
    change = float((new - old).abs().max()) if old.numel() else 0.0
    share = tolerance_of(before.dtype) if tolerance is None else tolerance
    return Difference(name, change, max(size, 1e-300), share * size)
