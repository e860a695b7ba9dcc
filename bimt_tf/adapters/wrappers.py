"""Modules around a model: those that share its parameters are looked through, others are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from bimt_tf.errors import InputError

__all__ = ["known_parts", "unwrapped"]

SHOWN = 3  # parts that a message names


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside torch.compile, DataParallel and DistributedDataParallel, whose parameters are the same objects.

    Raises:
        InputError: for FullyShardedDataParallel, which flattens them, for PEFT, which puts others beside them, and for
            parameters that are split over devices or were made in torch.inference_mode.
    """
    while True:
        kind = type(model)
        if isinstance(model, (DataParallel, DistributedDataParallel)):
            model = model.module
        elif (kind.__module__, kind.__name__) == ("torch._dynamo.eval_frame", "OptimizedModule"):  # slow to import
            inner = model._orig_mod
            assert isinstance(inner, nn.Module)
            model = inner
        else:
            break
    bases = [(base.__module__, base.__name__) for base in type(model).__mro__]
    if any(place.startswith("torch.distributed.fsdp") and "FullySharded" in kind for place, kind in bases):
        raise InputError(
            "FullyShardedDataParallel flattens and splits the weights, and no neuron has whole rows and columns there: "
            "train with DistributedDataParallel, or give BIMT the model before it is wrapped to look at its wiring"
        )
    if any(place.startswith("peft.") for place, _ in bases):
        raise InputError(
            f"a {type(model).__name__} has adapters beside the weights, which cannot be moved along: pass "
            "model.merge_and_unload(), which holds the same function without them"
        )
    _require_trainable(dict(model.named_parameters()))
    return model


def _require_trainable(named: Mapping[str, nn.Parameter]) -> None:
    """Raise InputError for parameters split over devices (DTensor, FSDP2), or made in torch.inference_mode."""
    for name, p in named.items():
        if type(p.data).__name__ == "DTensor" or type(p).__name__ == "DTensor":
            raise InputError(
                f"parameter {name!r} is a DTensor, split over devices (fully_shard, tensor parallelism): BIMT needs "
                "whole weights; train with DistributedDataParallel"
            )
        if p.is_inference():
            raise InputError(
                f"parameter {name!r} was made in torch.inference_mode and cannot be trained: make or load the model "
                "outside of it, or copy.deepcopy it there"
            )


def known_parts(model: nn.Module, known: Callable[[nn.Module], bool]) -> str:
    """The outermost parts of a model that are known, as a sentence's end; "" for none."""
    found: list[str] = []
    for path, part in model.named_modules():
        inside = any(path.startswith(f"{other.split(' ')[0].removeprefix('model.')}.") for other in found)
        if path and not inside and known(part):
            found.append(f"model.{path} ({type(part).__name__})")
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"pass a part that is known, {', '.join(found[:SHOWN])}{more}; or " if found else ""
