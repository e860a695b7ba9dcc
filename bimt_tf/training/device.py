"""Where and in which numbers a run computes: its device, its number type, and model and data on the device."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data

__all__ = ["DTYPES", "data_on", "dtype_of", "find_device", "model_on"]

DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}


def dtype_of(config: Config) -> torch.dtype:
    """The number type of a run's weights and examples."""
    return DTYPES[config.training.dtype]


def find_device(name: str) -> torch.device:
    """The device of this name.

    Raises:
        InputError: if it is not there.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not available here") from error


def model_on(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on a device; a bridge says on stdout what it does, which is not for the command line's reader."""
    if all(p.device == device for p in model.parameters()):
        return model
    with contextlib.redirect_stdout(io.StringIO()):
        return model.to(device)


def data_on(data: Data, device: torch.device) -> Data:
    """Inputs and targets on a device."""
    return Data(_moved(data.inputs, device), _moved(data.targets, device), data.quantities)


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; the windows of a text stay views of the one row they overlap in."""
    base = values._base
    if values.device == device or base is None or base.numel() >= values.numel():
        return values.to(device)
    return base.to(device).as_strided(values.size(), values.stride(), values.storage_offset())
