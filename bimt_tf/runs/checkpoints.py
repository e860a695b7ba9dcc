"""Checkpoints as files: written to a temporary name and renamed, read without pickle's code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from bimt_tf.errors import InputError
from bimt_tf.training.checkpoint import Checkpoint

__all__ = ["latest", "load", "save"]


KEPT = 2  # the newest, and the one before should the newest be damaged

_NAME = re.compile(r"step_(\d+)\.pt")


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then drop all but the newest ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{checkpoint.step:08d}.pt"
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        torch.save(checkpoint._asdict(), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    for old in _all(folder)[:-KEPT]:
        old.unlink()
    return path


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a folder, or None."""
    found = _all(folder)
    return found[-1] if found else None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: if the file is truncated or is no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(**state)
    except Exception as error:  # torch.load fails in many ways on a damaged file
        others = [p.name for p in _all(path.parent) if p != path]
        hint = f"; remove it to go on from {others[-1]}" if others else ""
        raise InputError(f"checkpoint {path} is truncated or not a checkpoint of bimt{hint}") from error


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name))
