"""A checkpoint: everything that a run needs to go on bit for bit. How it becomes a file is runs/checkpoints.py's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.training.state import State

__all__ = ["Checkpoint", "restore_", "take"]


class Checkpoint(NamedTuple):
    """The state after ``step`` steps. ``moments`` are Adam's, by parameter; ``kept`` is 1 where a weight is free
    in the finish phase and 0 where it is frozen at zero, by parameter; empty before that phase. ``early`` are the
    weights that magnitude pruning goes back to, by parameter; empty for other methods and before they are there.
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
    early: dict[str, Tensor] = {}


def take(state: State, seconds: float) -> Checkpoint:
    """A copy on the CPU of everything that changes, ``seconds`` of training behind it."""
    vector = state.flat.vector
    adam = state.optimizer.state.get(vector) or {
        "step": 0.0, "exp_avg": torch.zeros_like(vector), "exp_avg_sq": torch.zeros_like(vector),
    }  # fmt: skip

    def by_name(entries: Tensor) -> dict[str, Tensor]:
        names = state.flat.named
        return {name: t.detach().cpu().clone() for name, t in zip(names, state.flat.split(entries), strict=True)}

    return Checkpoint(
        step=state.step,
        seconds=seconds,
        compiled=bool(state.compiled),
        model=state.flat.state(),
        layout=state.bimt.state_dict(),
        moments={moment: by_name(adam[moment]) for moment in ("exp_avg", "exp_avg_sq")},
        updates=float(adam["step"]),
        generator=state.batches.state(),
        kept={} if state.kept is None else by_name(state.kept),
        early={} if state.early is None else by_name(state.early),
    )


def restore_(state: State, checkpoint: Checkpoint) -> None:
    """Bring a newly made state to where the checkpoint was taken.

    Raises:
        InputError: for a checkpoint of another model.
    """
    state.flat.load_(checkpoint.model, "the checkpoint")
    state.step, state.compiled = checkpoint.step, checkpoint.compiled
    state.bimt.load_state_dict(checkpoint.layout)
    state.batches.restore(checkpoint.generator)
    vector = state.flat.vector
    moments = {name: state.flat.concatenate(tensors).to(vector) for name, tensors in checkpoint.moments.items()}
    state.optimizer.state[vector] = {"step": torch.tensor(checkpoint.updates, dtype=torch.float32), **moments}
    if checkpoint.kept:
        state.kept = state.flat.concatenate(checkpoint.kept).to(vector)
    if checkpoint.early:
        state.early = state.flat.concatenate(checkpoint.early).to(vector)
