"""A model that is named on the command line."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bimt_tf.errors import InputError
from bimt_tf.tasks.own import is_own, load_object
from bimt_tf.tasks.registry import all_tasks

__all__ = ["named_model"]


def named_model(name: str) -> nn.Module:
    """The model that a name means, on the CPU.

    Args:
        name: a directory that ``save_pretrained`` wrote or a name on the hub; ``file.py:NAME`` or
            ``package.module:NAME``, an ``nn.Module`` or a function without arguments that makes one; or a task's name,
            for the model of its default preset.

    Raises:
        InputError: in one line, for what is none of these or does not run.
    """
    if name in all_tasks():
        from bimt_tf.config.reading import make
        from bimt_tf.training.device import dtype_of

        config = make(name)
        return all_tasks()[name].model(config.model, config.data, config.seed, dtype_of(config))
    if not is_own(name):
        from bimt_tf.models.pretrained import pretrained

        return pretrained(name, torch.float32)
    found: Any = load_object(name, nn.Module)
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:
            raise InputError(f"{name}() does not make a model: {type(error).__name__}: {error}") from error
    if not isinstance(found, nn.Module):
        raise InputError(f"{name} must be an nn.Module or a function that makes one, found {type(found).__name__}")
    return found
