"""Modules around a model: those that share its parameters are looked through, others are refused by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from bimt_tf.errors import InputError

__all__ = ["known_parts", "require_whole_weights", "unwrapped"]

SHOWN = 3  # parts that a message names
_WHOLE = (
    "BIMT needs whole rows and columns: train with DistributedDataParallel, or load the gathered state_dict into the "
    "plain model and give BIMT that"
)


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
    require_whole_weights(model)
    _require_no_adapters(model)
    for name, p in model.named_parameters():
        if p.is_inference():
            raise InputError(
                f"parameter {name!r} was made in torch.inference_mode and cannot be trained: make or load the model "
                "outside of it, or copy.deepcopy it there"
            )
    return model


def require_whole_weights(model: nn.Module) -> None:
    """Raise InputError if weights are split over devices: DTensor (FSDP2, tensor parallelism), or FSDP1 anywhere.

    FSDP1 leaves tensors behind in the place of parameters whose memory is freed between two forward passes.
    """
    for name, p in model.named_parameters():
        if type(p.data).__name__ == "DTensor" or type(p).__name__ == "DTensor":
            raise InputError(
                f"parameter {name!r} is a DTensor, split over devices (fully_shard, tensor parallelism): {_WHOLE}"
            )
    for name, part in model.named_modules():
        if _comes_from(part, "torch.distributed.fsdp", "FullySharded") or getattr(
            part, "_is_fsdp_managed_module", False
        ):
            where = f"around {name!r} " if name and type(part).__name__.startswith("FullySharded") else ""
            raise InputError(f"FullyShardedDataParallel {where}flattens and splits the weights: {_WHOLE}")


def _require_no_adapters(model: nn.Module) -> None:
    """Raise InputError for PEFT: a model of it, or layers of it anywhere inside."""
    for name, part in model.named_modules():
        if _comes_from(part, "peft.", ""):
            what = f"a {type(part).__name__}" + (f" ({name!r})" if name else "")
            raise InputError(
                f"{what} has adapters beside the weights, which cannot be moved along: pass what "
                "merge_and_unload() of the PEFT model gives, which holds the same function without them"
            )


def _comes_from(module: nn.Module, package: str, kind: str) -> bool:
    """Whether a class of the package, whose name holds ``kind``, is among the module's classes."""
    return any(base.__module__.startswith(package) and kind in base.__name__ for base in type(module).__mro__)


def known_parts(model: nn.Module, known: Callable[[nn.Module], bool]) -> str:
    """The outermost parts of a model that are known, as a sentence's end; "" for none."""
    found: list[str] = []
    for path, part in model.named_modules():
        inside = any(path.startswith(f"{other.split(' ')[0].removeprefix('model.')}.") for other in found)
        if path and not inside and known(part):
            found.append(f"model.{path} ({type(part).__name__})")
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"pass a part that is known, {', '.join(found[:SHOWN])}{more}; or " if found else ""
