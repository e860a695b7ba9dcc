"""The training loop: it goes through the phases of a run (phases.py) and tells what comes of each step.

It knows no files, no plots and no command line: what it tells goes through callbacks, and what it needs setup.py gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.config.settings import Config
from bimt_tf.tasks.base import Data, Split, Task
from bimt_tf.training.checkpoint import Checkpoint, take
from bimt_tf.training.finite import NonFiniteLoss, require_finite, require_finite_weights, require_not_diverged
from bimt_tf.training.phases import PHASES, milestones
from bimt_tf.training.schedule import lam_at, lr_at
from bimt_tf.training.snapshots import MOST_PARAMETERS, TrainingSnapshot, snapshot_steps
from bimt_tf.training.state import State

__all__ = ["NonFiniteLoss", "Record", "Trainer"]


class Record(NamedTuple):
    """A logged step: what metrics.jsonl holds a line of. ``loss`` is the mean training loss since the last record."""

    step: int
    loss: float
    test_loss: float
    cost: float
    lam: float
    lr: float
    active: int


class Trainer:
    """A run in memory, advanced by :meth:`run`. Made by ``set_up`` (setup.py).

    Args:
        state: model, layout, optimizer and batches, where the run stands.
        task: what is learned.
        data: training and held-out examples, on the CPU.
        held_out: the held-out examples on the model's device.
        seconds: seconds of training that lie behind it.
        validation: examples that it does not train on, for an elimination; on the CPU.
    """

    def __init__(
        self,
        state: State,
        task: Task,
        data: Split,
        held_out: Data,
        seconds: float = 0.0,
        validation: Data | None = None,
    ) -> None:
        self.task, self.data, self.held_out, self.seconds, self.validation = task, data, held_out, seconds, validation
        self._state = state
        self._losses: list[float] = []
        self._first: float | None = None  # loss of the first batch, or of the first after a resume

    @property
    def config(self) -> Config:
        """What the run depends on."""
        return self._state.config

    @property
    def model(self) -> nn.Module:
        """The model that is trained."""
        return self._state.model

    @property
    def bimt(self) -> BIMT:
        """The model's wiring, geometry and present layout."""
        return self._state.bimt

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    def run(
        self,
        *,
        on_record: Callable[[Record], None] = lambda record: None,
        on_checkpoint: Callable[[Checkpoint], None] = lambda checkpoint: None,
        on_snapshot: Callable[[TrainingSnapshot], None] | None = None,
        on_note: Callable[[str], None] = lambda note: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the end, or until ``stop()``; True if the end was reached.

        ``on_record`` is called every ``log_every`` steps, ``on_checkpoint`` every ``checkpoint_every`` steps of a phase
        that can be resumed and on stopping in one, both at milestones (phases.py); ``on_snapshot`` at the steps of
        snapshots.py, before a checkpoint of the same step; ``on_note`` with what was decided on the way.

        Raises:
            NonFiniteLoss: when the loss, the held-out loss, the cost or a weight is not finite, or the held-out loss at
                the end is a million times what the run began with. Neither record nor checkpoint is given of it.
        """
        state, training, ends = self._state, self.config.training, milestones(self.config)
        if state.step == training.steps:
            return True
        begun = time.perf_counter() - self.seconds
        on_note(state.prepare())
        self._losses, keep = [], self._keeper(on_record, on_snapshot)

        def tell(saving: bool, stopping: bool = False) -> None:
            milestone = state.step in ends
            keep(milestone or state.step % training.log_every == 0)
            if milestone or saving and (stopping or state.step % training.checkpoint_every == 0):
                on_checkpoint(self.checkpoint())

        def after(resumable: bool, last: int, loss: float) -> bool:
            state.step += 1
            self._losses.append(loss)
            self._first = loss if self._first is None else self._first
            stopping = stop()
            self.seconds = time.perf_counter() - begun
            if state.step < last:  # what the last step of a phase leaves is told when the phase has ended
                tell(resumable, stopping)
            return stopping

        keep(False)
        for phase in PHASES:
            span = phase.span(self.config)
            if state.step not in span:
                continue
            if state.step == span.start:
                phase.enter(state)
            ended = phase.run(state, partial(after, phase.resumable, span.stop))
            self.seconds = time.perf_counter() - begun
            if not ended and not (phase.resumable and state.step >= span.stop):
                state.step = state.step if phase.resumable else span.start
                return False
            state.step = span.stop
            tell(phase.resumable, stopping=not ended)
            if not ended and state.step < training.steps:
                return False
        return True

    def evaluate(self, examples: Literal["test", "train"] = "test") -> dict[str, float]:
        """The task's metrics on the held-out examples, or on those it trains on."""
        with torch.no_grad():
            chosen = self.held_out if examples == "test" else self._state.batches.examples
            return self.task.measure(self.config.data, self.model, chosen)

    def active(self) -> int:
        """Weights of connections above ``training.active`` in size that lie on a path from input to output."""
        return active_weights(self.bimt, self.config.training.active)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the trained parameters on the CPU, by the wiring's names."""
        return self._state.flat.state()

    def checkpoint(self) -> Checkpoint:
        """Everything that a run needs to go on from here.

        Raises:
            NonFiniteLoss: if a weight is not finite.
        """
        require_finite_weights(self.step, self._state.flat.vector)
        return take(self._state, self.seconds)

    def release_(self) -> None:
        """Give the model's parameters storage of their own again; the trainer is not to be run afterwards."""
        self._state.flat.release_()

    def _keeper(
        self, on_record: Callable[[Record], None], on_snapshot: Callable[[TrainingSnapshot], None] | None
    ) -> Callable[[bool], None]:
        """What tells a step's record if it is to be logged, and its snapshot where one is due; of large models none."""
        large = self._state.flat.vector.numel() > MOST_PARAMETERS
        steps = frozenset() if on_snapshot is None or large else snapshot_steps(self.config)

        def keep(logged: bool) -> None:
            record = self._record() if logged else None
            if record is not None:
                on_record(record)
            if self.step in steps and on_snapshot is not None:
                taken = self._snapshot(None if record is None else record.test_loss)
                if taken is not None:
                    on_snapshot(taken)

        return keep

    def _snapshot(self, loss: float | None) -> TrainingSnapshot | None:
        """The network as it stands, and its held-out loss, measured unless given; nothing of the run changes by it.

        None where a number is not finite: that is for the next record to tell.
        """
        state = self._state
        loss = self.evaluate()["loss"] if loss is None else loss
        if not (math.isfinite(loss) and bool(torch.isfinite(state.flat.vector).all())):
            return None
        return TrainingSnapshot(state.step, loss, state.flat.state(), state.bimt.layout.slots)

    def _record(self) -> Record:
        """What is known of the step just taken; the losses are counted anew from here."""
        state, done = self._state, self.step - 1
        losses = self._losses or [state.training_loss().item()]  # a search may end without a step
        require_finite_weights(state.step, state.flat.vector)
        record = Record(
            state.step, sum(losses) / len(losses), self.evaluate()["loss"], state.penalty.value(),
            lam_at(self.config, done), lr_at(self.config, done), self.active(),
        )  # fmt: skip
        for what, value in (("training loss", record.loss), ("held-out loss", record.test_loss), ("cost", record.cost)):
            require_finite(state.step, f"the {what}", value)
        if state.step == self.config.training.steps:
            require_not_diverged(state.step, record.test_loss, self._first or 0.0)
        self._losses = []
        return record
