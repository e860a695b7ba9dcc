"""A model that is named on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bimt_tf.errors import InputError
from bimt_tf.runs.directory import MARKER, RunDirectory
from bimt_tf.tasks.own import is_own, load_object
from bimt_tf.tasks.registry import all_tasks

__all__ = ["named_model"]


def _task_of_run(name: str) -> str | None:
    """The task of the run whose directory this is; None for anything else."""
    if is_own(name) or not (Path(name) / MARKER).is_file():
        return None
    try:
        return RunDirectory.open(Path(name)).config.task
    except InputError:  # damaged
        return "that its config.yaml names"


def named_model(name: str) -> nn.Module:
    """The model that a name means, on the CPU.

    Args:
        name: a directory that ``save_pretrained`` wrote or a name on the hub; ``file.py:NAME`` or
            ``package.module:NAME``, an ``nn.Module`` or a function without arguments that makes one; or a task's name,
            for the model of its default preset.

    Raises:
        InputError: in one line, for what is none of these, does not run, or is a run's directory.
    """
    if name in all_tasks():
        from bimt_tf.config.reading import make
        from bimt_tf.training.device import dtype_of

        config = make(name)
        return all_tasks()[name].model(config.model, config.data, config.seed, dtype_of(config))
    if (task := _task_of_run(name)) is not None:
        raise InputError(
            f"{name} is a run of the task {task}, which has its wiring already: load_run({name!r}).bimt.wiring is it, "
            f"'bimt show {name}' draws it, and 'bimt wire --model {task}' tells of the task's model before training"
        )
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
