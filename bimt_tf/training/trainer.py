"""The training loop: pressed phase (penalty and swaps), finish phase (zeros frozen, rate to 0), perhaps a polish.

One step, with the weights w as one vector:

    g = gradient of the task's loss        (+ lambda * coefficient * sign(w), if the penalty acts by its gradient)
    w = Adam(w, g); w = soft threshold of w, if the penalty is proximal; frozen zeros stay 0
    every S steps neurons move to shorten the wiring (swap.py), and the coefficients follow

A polish is no loop of such steps but one search (polish.py): stopped, it begins again where Adam ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from bimt_tf.adapters import wire
from bimt_tf.adapters.norms import norms
from bimt_tf.bimt import BIMT
from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.core import cost
from bimt_tf.core.geometry import Geometry, Shape
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training.batch_gradient import batch_gradient
from bimt_tf.training.batches import Batches
from bimt_tf.training.checkpoint import Checkpoint
from bimt_tf.training.device import data_on, find_device, model_on
from bimt_tf.training.effective_norms import EffectiveWeights
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.polish import minimise_
from bimt_tf.training.schedule import bias_step, finish_step, lam_at, lr_at, polish_step

__all__ = ["Trainer", "Record", "NonFiniteLoss"]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite at ``step``."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__(f"the training loss is {value} at step {step}")
        self.step = step


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
    """A run in memory: model, BIMT, optimizer and batches, advanced by :meth:`run`.

    Args:
        config: what to train.
        checkpoint: where to go on; from the start unless given.

    Raises:
        InputError: for a device or a population that is not there, or a checkpoint of another model.
    """

    def __init__(self, config: Config, checkpoint: Checkpoint | None = None) -> None:
        training, self.config = config.training, config
        self.task = find_task(config.task)
        device, dtype = find_device(training.device), DTYPES[training.dtype]
        self.data = self.task.data(config.data, config.seed, dtype)
        self.model = model_on(self.task.model(config.model, config.data, config.seed, dtype), device)
        self.step = 0
        self.seconds = 0.0
        trained, self.held_out = (data_on(part, device) for part in self.data)
        self._batches = Batches(trained, training.batch_size, config.seed)
        self._method = METHODS[config.method]
        where = config.geometry
        geometry = Geometry(where.width, where.layer_gap, where.norm, cast(Mapping[str, Shape], where.shapes))
        wiring = wire(self.model, training.fixed).distance_free(where.distance_free)
        self._flat = FlatParameters(self.model)
        self._effective: EffectiveWeights | None = None
        if training.norms == "effective":  # of the first weights: a resumed run pins the same scale
            self._effective = EffectiveWeights(self._flat, wiring, norms(self.model, wiring))
        if checkpoint is not None:
            self._flat.load_(checkpoint.model, "the checkpoint")
        self.bimt = BIMT(self.model, geometry, wiring, training.reduction)
        self._penalty = BIMT(
            self.model, geometry if self._method.local else replace(geometry, width=0.0), wiring, training.reduction
        )
        self._vector = self._flat.vector
        self.optimizer = torch.optim.AdamW(
            [self._vector], lr=training.lr, weight_decay=training.weight_decay, fused=True
        )
        self._kept: Tensor | None = None
        self._compiled: bool | None = None
        if checkpoint is not None:
            self._restore(checkpoint)
        self._recharge()

    def run(
        self,
        *,
        on_record: Callable[[Record], None] = lambda record: None,
        on_checkpoint: Callable[[Checkpoint], None] = lambda checkpoint: None,
        on_note: Callable[[str], None] = lambda note: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the end, or until ``stop()``; True if the end was reached.

        ``on_record`` is called every ``log_every`` steps and where Adam and the run end, ``on_checkpoint`` every
        ``checkpoint_every`` of Adam's steps, on stopping and at these ends; ``on_note`` with what was decided on
        the way.

        Raises:
            NonFiniteLoss: before the step is taken.
        """
        training = self.config.training
        if self.step == training.steps:
            return True
        begun = time.perf_counter() - self.seconds
        example, left = self._batches.specimen(), training.steps - self.step
        compute = batch_gradient(self.model, self._loss, training.compile, left, example, self._compiled)
        self._compiled = compute.compiled
        on_note(compute.note)
        parameters = list(self._flat.named.values())
        summed, counted, adam = 0.0, 0, polish_step(self.config)
        while self.step < adam:
            if self.step == finish_step(self.config):
                self._begin_finish()
            if self.step == bias_step(self.config):
                self._recharge()
            loss = compute.loss(*self._batches.draw())
            value = loss.item()
            if not math.isfinite(value):
                raise NonFiniteLoss(self.step, value)
            self._update(torch.autograd.grad(loss, parameters, allow_unused=True))
            summed, counted = summed + value, counted + 1
            self.step += 1
            stopping = stop()
            last = self.step == adam
            self.seconds = time.perf_counter() - begun
            if self.step % training.log_every == 0 or last:
                on_record(self._record(summed / counted))
                summed, counted = 0.0, 0
            if self.step % training.checkpoint_every == 0 or last or stopping:
                on_checkpoint(self.checkpoint())
            if stopping and self.step < training.steps:
                return False
        if adam == training.steps:
            return True
        ended = self._polish(on_record, stop)
        self.seconds = time.perf_counter() - begun
        if ended:
            on_checkpoint(self.checkpoint())
        return ended

    def evaluate(self, examples: Literal["test", "train"] = "test") -> dict[str, float]:
        """The task's metrics on the held-out examples, or on those it trains on."""
        with torch.no_grad():
            chosen = self.held_out if examples == "test" else self._batches.examples
            return self.task.measure(self.config.data, self.model, chosen)

    def active(self) -> int:
        """Weights of connections above ``training.active`` in magnitude (biases and tables not counted)."""
        parameters = self.bimt.parameters
        return sum(
            int((parameters[c.parameter].detach().abs() > self.config.training.active).sum())
            for c in self.bimt.wiring.connections
        )

    def weights(self) -> dict[str, Tensor]:
        """Copies of the trained parameters, by the wiring's names."""
        return self._flat.state()

    def load_weights(self, weights: Mapping[str, Tensor], what: str) -> None:
        """Overwrite the parameters; raises InputError, naming ``what``, if they are another model's."""
        self._flat.load_(weights, what)

    def checkpoint(self) -> Checkpoint:
        """Everything :class:`Trainer` needs to go on from here."""
        names = list(self._flat.named)
        state = self.optimizer.state[self._vector]
        return Checkpoint(
            step=self.step,
            seconds=self.seconds,
            compiled=bool(self._compiled),
            model=self.weights(),
            layout=self.bimt.state_dict(),
            moments={
                moment: {n: t.cpu().clone() for n, t in zip(names, self._flat.split(state[moment]), strict=True)}
                for moment in ("exp_avg", "exp_avg_sq")
            },
            updates=float(state["step"]),
            generator=self._batches.state(),
            kept={}
            if self._kept is None
            else {n: t.cpu().clone() for n, t in zip(names, self._flat.split(self._kept), strict=True)},
        )

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.task.loss(self.config.data, outputs, targets)

    def _update(self, gradients: tuple[Tensor | None, ...]) -> None:
        """One optimizer step, the penalty's part in it, and a swap if it is due."""
        training = self.config.training
        lam = lam_at(self.config, self.step)
        self._flat.set_grad_(gradients)
        charge = self._charge
        if lam and self._effective is not None:
            charge = self._effective.charge(charge)
        charged = [(self._vector, charge)]
        if lam and training.penalty == "subgradient":
            cost.add_gradient_(charged, lam)
        self.optimizer.param_groups[0]["lr"] = lr_at(self.config, self.step)
        self.optimizer.step()
        if lam and training.penalty == "proximal":
            cost.shrink_(charged, lam, self.optimizer)
        if lam and self._effective is not None:
            self._effective.pin_()
        if self._kept is not None:
            self._vector.data.mul_(self._kept)
        done = self.step + 1
        if self._method.swaps and done % training.swap_every == 0 and done <= finish_step(self.config):
            self.swap()

    def swap(self) -> None:
        """Move neurons by the config's search, which sees the weights that pay; the penalty follows."""
        weights = self._vector.data
        kept = weights.clone() if self._effective is not None else None
        if self._effective is not None:
            weights.mul_(self._effective.gains())
        self.bimt.swap(self.config.training.swap_method, self.config.training.top_k)
        if kept is not None:
            weights.copy_(kept)
        self._recharge()

    def _recharge(self) -> None:
        self._penalty.layout = self.bimt.layout
        coefficients = self._penalty.coefficients()
        if self.step < bias_step(self.config):
            biases = {a.parameter for a in self.bimt.wiring.attachments if a.is_bias}
            coefficients = {name: c for name, c in coefficients.items() if name not in biases}
        self._charge = self._flat.concatenate(coefficients)

    def _begin_finish(self) -> None:
        """Cut what is below ``cut``, place the neurons a last time, and freeze the zeros."""
        if self._method.penalised:
            weights = self._vector.data
            self._kept = (self._sizes() > self.config.training.cut).to(weights.dtype)
            weights.mul_(self._kept)
        if self._method.swaps:
            self.swap()

    def _polish(self, on_record: Callable[[Record], None], stop: Callable[[], bool]) -> bool:
        """Take the steps behind Adam's; False if stopped, and then all is as it was where Adam ended."""
        training, begun = self.config.training, self.step
        if finish_step(self.config) == begun:  # without a finish phase it is the polish that must keep the zeros
            self._begin_finish()
        parameters, examples = list(self._flat.named.values()), self._batches.examples
        free = torch.ones_like(self._vector) if self._kept is None else self._kept
        losses: list[float] = []

        def loss_and_gradient() -> tuple[float, Tensor]:
            loss = self._loss(self.model(examples.inputs), examples.targets)
            self._flat.set_grad_(torch.autograd.grad(loss, parameters, allow_unused=True))
            assert self._vector.grad is not None
            return loss.item(), self._vector.grad

        def on_iteration(loss: float) -> bool:
            self.step += 1
            losses.append(loss)
            if self.step % training.log_every == 0 and self.step < training.steps:
                on_record(self._record(sum(losses) / len(losses)))
                losses.clear()
            return stop()

        ended = minimise_(
            self._vector, free, loss_and_gradient, training.polish_pull, training.steps - begun, on_iteration
        )
        self.step = training.steps if ended else begun
        if ended:
            on_record(self._record(sum(losses) / len(losses) if losses else loss_and_gradient()[0]))
        return ended

    def _sizes(self) -> Tensor:
        """What pays of each parameter: |w|, times the gain of its norm if weights pay as they act."""
        sizes = self._vector.detach().abs()
        return sizes if self._effective is None else sizes * self._effective.gains()

    def _record(self, loss: float) -> Record:
        with torch.no_grad():
            charge = float((self._charge * self._sizes()).sum())
        done = self.step - 1
        return Record(
            self.step, loss, self.evaluate()["loss"], charge, lam_at(self.config, done), lr_at(self.config, done),
            self.active(),
        )  # fmt: skip

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step, self.seconds, self._compiled = checkpoint.step, checkpoint.seconds, checkpoint.compiled
        self.bimt.load_state_dict(checkpoint.layout)
        self._batches.restore(checkpoint.generator)
        vector = self._vector
        moments = {name: self._flat.concatenate(tensors).to(vector) for name, tensors in checkpoint.moments.items()}
        self.optimizer.state[vector] = {"step": torch.tensor(checkpoint.updates, dtype=torch.float32), **moments}
        if checkpoint.kept:
            self._kept = self._flat.concatenate(checkpoint.kept).to(vector)
