"""A trained network in memory: model, BIMT, config and task, and its examples, which are drawn when they are asked for.

What is asked of it (ask.py), measured (summary.py) and drawn (draw.py) takes this; it knows no files.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.active import above_threshold, active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.base import Data, Split, Task
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.tasks.validation import set_aside
from bimt_tf.training.device import data_on, dtype_of
from bimt_tf.training.trainer import Trainer

__all__ = ["Examples", "Part", "Trained"]

Part = Literal["held-out", "test", "train"]
"""Which examples: "train" are trained on; "held-out" and "test" are two names of the others."""

PARTS = ("held-out", "test", "train")


class Examples(NamedTuple):
    """``inputs`` [n, ...], ``targets`` [n, ...], and the task's named ``quantities``: name -> [n]."""

    inputs: Shaped[Tensor, "n ..."]
    targets: Shaped[Tensor, "n ..."]
    quantities: dict[str, Shaped[Tensor, " n"]]


class Trained:
    """A network that was trained by ``config``.

    Args:
        config: what it was trained by.
        model: its model, with the trained weights.
        bimt: its BIMT, with the layout.
        data: its examples if they are at hand, or held-out ones alone; drawn anew (the same ones) unless given.
        task: what it learned, where ``config.task`` does not tell all of it (a loss that was given in Python).
        validation: its validation examples, where ``data`` is given and it has some.
        eliminated: whether an elimination left these weights; each that is not zero is then needed, however small.
    """

    def __init__(
        self,
        config: Config,
        model: nn.Module,
        bimt: BIMT,
        *,
        data: Split | Data | None = None,
        task: Task | None = None,
        validation: Data | None = None,
        eliminated: bool = False,
    ) -> None:
        self._validation = validation
        self.config, self.model, self.bimt, self.eliminated = config, model, bimt, eliminated
        self.task = find_task(config.task) if task is None else task
        self._data = data

    @classmethod
    def of(cls, trainer: Trainer) -> Trained:
        """What a trainer has trained, its examples with it."""
        return cls(
            trainer.config, trainer.model, trainer.bimt, data=trainer.data, task=trainer.task,
            validation=trainer.validation,
        )  # fmt: skip

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    @cached_property
    def data(self) -> Split:
        """All examples, inputs and targets on the model's device.

        Raises:
            InputError: where only held-out examples are at hand, or none.
        """
        drawn = self._data
        if isinstance(drawn, Data):
            raise InputError("the examples that were trained on are not at hand: held-out ones alone were given")
        if drawn is None:
            drawn = self.task.data(self.config.data, self.config.seed, dtype_of(self.config))
            drawn, self._validation = set_aside(drawn, self.config.training.validation_share)
        return Split(*(data_on(part, self.device) for part in drawn))

    @property
    def validation(self) -> Data | None:
        """Examples that guard an elimination, split off the training ones before step 1; None if there are none."""
        _ = self.data  # which draws both
        return None if self._validation is None else data_on(self._validation, self.device)

    @cached_property
    def held_out(self) -> Data:
        """The examples that were not trained on, inputs and targets on the model's device."""
        return data_on(self._data, self.device) if isinstance(self._data, Data) else self.data.test

    def part(self, name: str) -> Data:
        """The examples of one part; raises InputError for a name that is none."""
        if name not in PARTS:
            raise unknown("part of the examples", str(name), PARTS)
        return self.data.train if name == "train" else self.held_out

    def examples(self, part: Part = "held-out", n: int | None = None) -> Examples:
        """Inputs, targets and named quantities (w, x, y1 ...) of the run's own examples.

        Args:
            part: "held-out" (or "test") or "train".
            n: how many, from the first on; all unless given.

        Raises:
            InputError: for another part, or more examples than there are.
        """
        chosen = self.part(part)
        there = len(chosen.inputs)
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= there):
            raise InputError(f"n must be a whole number from 1 to {there} ({part} examples), found {n!r}")
        quantities = {name: values[:n] for name, values in chosen.quantities.items()}
        return Examples(chosen.inputs[:n], chosen.targets[:n], quantities)

    def evaluate(self, part: Part = "test") -> dict[str, float]:
        """The task's metrics (``loss``, ``accuracy`` ...) on the held-out examples, or on those it was trained on.

        Raises:
            InputError: for another part.
        """
        with torch.no_grad():
            return self.task.measure(self.config.data, self.model, self.part(part))

    def loss(self, outputs: Tensor) -> float:
        """The task's reported loss of outputs for the held-out examples."""
        return self.task.metrics(self.config.data, outputs, self.held_out.targets)["loss"]

    @property
    def threshold(self) -> float:
        """Above which size a weight counts as active: the config's ``training.active``, 0 after an elimination."""
        return 0.0 if self.eliminated else self.config.training.active

    @property
    def active_weights(self) -> int:
        """Weights above :attr:`threshold` in size that are on a path from an input to an output."""
        return active_weights(self.bimt, self.threshold)

    @property
    def nonzero_weights(self) -> int:
        """Weights of connections that are not zero."""
        return above_threshold(self.bimt, 0.0)
