"""Checkpoints as files: written to a temporary name and renamed, read without pickle's code. No torch at import.

checkpoints/step_00002000.pt   the newest two
checkpoints/config.yaml        the config that they were made with, which a resume compares its own to
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite, replacing

if TYPE_CHECKING:
    from bimt_tf.training.checkpoint import Checkpoint

__all__ = ["latest", "load", "save", "step_of"]


KEPT = 2  # the newest, and the one before should the newest be damaged

_NAME = re.compile(r"step_(\d+)\.pt")


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then drop all but the newest ones.

    Raises:
        CannotWrite: on a full disk or a missing permission; the checkpoints before it are left as they are.
    """
    import torch

    path = folder / f"step_{checkpoint.step:08d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            try:
                torch.save(checkpoint._asdict(), file)
            except RuntimeError as error:  # how torch tells that a write failed
                if not isinstance(error.__context__, OSError):
                    file.flush()
                raise OSError(getattr(error.__context__, "errno", None), _reason(error)) from error
        for old in _all(folder)[:-KEPT]:
            old.unlink()
    except CannotWrite:
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}") from error
    return path


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a folder, or None.

    Raises:
        InputError: if the folder is something else.
    """
    found = _all(folder)
    return found[-1] if found else None


def step_of(path: Path) -> int:
    """The step that a checkpoint's name says."""
    return int(path.stem.removeprefix("step_"))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: if the file is truncated or is no checkpoint.
    """
    import torch

    from bimt_tf.training.checkpoint import Checkpoint

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = Checkpoint(**state)
        _check(checkpoint)
        return checkpoint
    except Exception as error:  # torch.load fails in many ways on a damaged file
        others = [p.name for p in _all(path.parent) if p != path]
        hint = f"remove it to go on from {others[-1]}" if others else "remove it to begin again from step 0"
        raise InputError(f"checkpoint {path} is truncated or not a checkpoint of bimt; {hint}") from error


def _check(checkpoint: Checkpoint) -> None:
    """Raise unless the parts are of the right kinds; whether they fit the model is the trainer's to say."""
    from torch import Tensor

    step: Any = checkpoint.step
    tables: tuple[Any, ...] = (checkpoint.model, checkpoint.layout)
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ValueError("step")
    if not all(isinstance(table, dict) and all(isinstance(t, Tensor) for t in table.values()) for table in tables):
        raise ValueError("tensors")
    if not all(bool(t.isfinite().all()) for t in checkpoint.model.values()):
        raise ValueError("weights that are no numbers")


def _all(folder: Path) -> list[Path]:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is damaged: it is no directory; remove it to begin again from step 0")
    return sorted(path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name))


def _reason(error: RuntimeError) -> str:
    context = error.__context__
    return (context.strerror if isinstance(context, OSError) else None) or "the disk took only a part of it"
