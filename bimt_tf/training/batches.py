"""The batches of a run: drawn with replacement from the training examples, or all of them at each step."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from bimt_tf.tasks.base import Data

__all__ = ["Batches", "Drawn"]

SEED_OF_BATCHES = 1  # added to the run's seed, so that batches and data come from streams of their own


class Batches(ABC):
    """A stream of batches that can be gone on with where it was.

    ``examples`` are the training examples that a run is measured on, and that a search over all of them takes.
    """

    examples: Data

    @abstractmethod
    def draw(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the next batch."""

    @abstractmethod
    def specimen(self) -> tuple[Tensor, Tensor]:
        """A batch to try a computation on; takes nothing from the stream."""

    @abstractmethod
    def state(self) -> Tensor:
        """Where the stream is, for a checkpoint."""

    @abstractmethod
    def restore(self, state: Tensor) -> None:
        """Go on where :meth:`state` was taken."""


class Drawn(Batches):
    """Batches of ``size`` examples drawn with replacement, or of all if it is 0, in a stream that ``seed`` decides."""

    def __init__(self, examples: Data, size: int, seed: int) -> None:
        self.examples, self.size = examples, size
        self._generator = torch.Generator().manual_seed(seed + SEED_OF_BATCHES)

    def draw(self) -> tuple[Tensor, Tensor]:
        inputs, targets, _ = self.examples
        if not self.size:
            return inputs, targets
        chosen = torch.randint(len(inputs), (self.size,), generator=self._generator).to(inputs.device)
        return inputs[chosen], targets[chosen]

    def specimen(self) -> tuple[Tensor, Tensor]:
        inputs, targets, _ = self.examples
        indices = torch.arange(self.size or len(inputs), device=inputs.device) % len(inputs)
        return inputs[indices], targets[indices]

    def state(self) -> Tensor:
        return self._generator.get_state()

    def restore(self, state: Tensor) -> None:
        self._generator.set_state(state)
