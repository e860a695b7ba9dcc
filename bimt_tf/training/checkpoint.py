"""A checkpoint: everything that a run needs to go on bit for bit. How it becomes a file is runs/checkpoints.py's."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Checkpoint"]


class Checkpoint(NamedTuple):
    """The state after ``step`` steps. ``moments`` are Adam's, by parameter; ``kept`` is 1 where a weight is free
    in the finish phase and 0 where it is frozen at zero, by parameter; empty before that phase.
    """

    step: int
    seconds: float
    compiled: bool
    model: dict[str, Tensor]
    layout: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]
    updates: float
    generator: Tensor
    kept: dict[str, Tensor]
