"""The way back: a plain Hugging Face model with a bridge's weights.

A bridge replaces the modules of the model it wraps, so the wrapped model does not save as what it was. Its tensors are
still there under its own names, but for a fused projection that the bridge had split: that one is put together again
from its parts, at the places that the bridge's own splitting says, found by splitting a tensor of indices.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bimt_tf.adapters.bridge import fused, matches
from bimt_tf.errors import InputError

__all__ = ["plain_model"]


def plain_model(bridge: nn.Module) -> nn.Module:
    """A new Hugging Face model, of the class and config that the bridge wraps, with the bridge's present weights.

    It shares no memory with the bridge; ``save_pretrained`` writes a directory that plain transformers loads.

    Raises:
        InputError: for a model that is no bridge around a Hugging Face model, or one with processed weights.
    """
    wrapped: Any = getattr(bridge, "original_model", None) if matches(bridge) else None
    if wrapped is None or not hasattr(wrapped, "save_pretrained"):
        raise InputError(
            f"only a TransformerBridge around a Hugging Face model has a plain model to go back to, found a "
            f"{type(bridge).__name__}" + ("" if wrapped is None else f" around a {type(wrapped).__name__}")
        )
    if getattr(bridge, "_weights_processed", False):
        raise InputError("this TransformerBridge's weights are processed: they are no longer the wrapped model's")
    joined = {id(parameter): value for parameter, value in _joined(bridge)}
    held = {
        name.replace("._original_component", ""): joined.get(id(tensor), tensor.detach())
        for name, tensor in wrapped.state_dict(keep_vars=True).items()
    }
    with torch.random.fork_rng(devices=[]):  # new weights are drawn, and overwritten
        plain: nn.Module = type(wrapped)(copy.deepcopy(wrapped.config))
    wanted = plain.state_dict()
    if missing := [name for name in wanted if name not in held]:
        raise InputError(f"the bridge does not hold {missing[0]!r} of the {type(wrapped).__name__} that it wraps")
    for name, parameter in plain.named_parameters():
        parameter.data = parameter.data.to(held[name].device, held[name].dtype)
    plain.load_state_dict({name: held[name] for name in wanted})
    plain.to(next(plain.parameters()).device)
    if hasattr(wrapped, "generation_config"):
        setattr(plain, "generation_config", copy.deepcopy(wrapped.generation_config))  # noqa: B010  (no attribute of nn.Module)
    return plain.train(wrapped.training)


def _joined(bridge: nn.Module) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """(fused parameter, its value by the parts that the bridge computes with)."""
    for _, component, module, parts in fused(bridge):
        split = component.split_qkv_matrix if "q" in parts else component.split_gate_up_matrix
        with _indices(module) as kept, torch.no_grad():
            places = split(component.original_component)
        for own, parameter in kept.items():
            value = parameter.detach().clone()
            for part, place in zip(parts, places, strict=True):
                index = getattr(place, own).detach().long()
                tensor = getattr(component._modules[part]._modules["_original_component"], own).detach()
                value.view(-1)[index.reshape(-1)] = tensor.reshape(-1)
            yield parameter, value


@contextmanager
def _indices(module: nn.Module) -> Iterator[dict[str, nn.Parameter]]:
    """The module with each parameter's entries replaced by their numbers (exact in float64); yields the parameters."""
    kept = {own: p for own, p in module._parameters.items() if p is not None}
    try:
        for own, p in kept.items():
            numbers = torch.arange(p.numel(), dtype=torch.float64, device=p.device).view(p.shape)
            module._parameters[own] = nn.Parameter(numbers)
        yield kept
    finally:
        module._parameters.update(kept)
