"""How far a run is, told from the names of its files. No torch at import."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bimt_tf.runs import checkpoints
from bimt_tf.runs.elimination_files import EliminationFiles

__all__ = ["FINISHED", "NO_CHECKPOINT", "RunState", "is_trained", "state_of"]

FINISHED = "finished"
NOT_MEASURED = "trained, not measured yet"
NO_CHECKPOINT = "no checkpoint yet"
NOT_ELIMINATED = "trained, its elimination has not ended"


class RunState(NamedTuple):
    """In words, and the step that the newest weights on disk are of."""

    text: str
    step: int


def is_trained(path: Path) -> bool:
    """Whether training came to its end: the weights and the layout are there."""
    return all((path / name).exists() for name in ("model.safetensors", "layout.json"))


def state_of(path: Path, steps: int) -> RunState:
    """The state of the run in a directory that trains for ``steps`` steps.

    Raises:
        InputError: if its checkpoints are no folder.
    """
    if is_trained(path):
        if EliminationFiles(path / "elimination", path).unfinished:
            return RunState(NOT_ELIMINATED, steps)
        return RunState(FINISHED if (path / "summary.json").exists() else NOT_MEASURED, steps)
    newest = checkpoints.latest(path / "checkpoints")
    if newest is None:
        return RunState(NO_CHECKPOINT, 0)
    step = checkpoints.step_of(newest)
    return RunState(f"interrupted at step {step:,} of {steps:,}", step)
