"""Batches as a DataLoader of the user's gives them, endlessly, with a place that can be gone back to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data
from bimt_tf.training.batches import Batches

__all__ = ["LoaderBatches", "pair"]


class LoaderBatches(Batches):
    """The batches of one epoch after another.

    A loader that shuffles with no generator of its own is seeded anew for each epoch, from ``seed`` and the epoch's
    number; one that has a generator goes on with it. :meth:`state` holds the epoch, the batches taken of it and that
    generator where the epoch began; going back to it draws these batches again and passes over them.

    Args:
        loader: gives (inputs, targets) for each batch.
        device: where the batches go.
        seed: of the order of examples.

    Raises:
        InputError: if the loader is empty, or gives something else.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device, seed: int) -> None:
        self._loader, self._device, self._seed = loader, device, seed
        self._epoch, self._taken = 0, 0
        self._before = self._generator_state()
        self._batches: Iterator[Any] | None = None
        first = self._first()
        if first is None:
            raise InputError("the DataLoader gives no batch")
        self.examples = Data(*pair(first, device), {})
        self._go_to(0, 0, self._before)

    def draw(self) -> tuple[Tensor, Tensor]:
        batch = next(self._batches, None) if self._batches is not None else None
        if batch is None:
            if self._batches is not None:
                self._epoch += 1
            self._taken, self._before = 0, self._generator_state()
            batch = self._first()
            if batch is None:
                raise InputError(f"the DataLoader gives no batch in its epoch {self._epoch}")
        self._taken += 1
        return pair(batch, self._device)

    def specimen(self) -> tuple[Tensor, Tensor]:
        return self.examples.inputs, self.examples.targets

    def state(self) -> Tensor:
        numbers = torch.tensor([self._epoch, self._taken]).view(torch.uint8)
        return numbers.clone() if self._before is None else torch.cat([numbers, self._before])

    def restore(self, state: Tensor) -> None:
        epoch, taken = state[:16].clone().view(torch.int64).tolist()
        self._go_to(epoch, taken, state[16:].clone() if len(state) > 16 else None)

    def _go_to(self, epoch: int, taken: int, before: Tensor | None) -> None:
        if before is not None and self._loader.generator is not None:
            self._loader.generator.set_state(before)
        self._epoch, self._taken, self._before, self._batches = epoch, 0, before, None
        for _ in range(taken):
            self.draw()

    def _first(self) -> Any:
        """Begin the epoch and give its first batch, or None."""
        with torch.random.fork_rng(devices=[]):  # the order of the epoch is drawn while its first batch is
            torch.manual_seed(self._seed + self._epoch)
            self._batches = iter(self._loader)
            return next(self._batches, None)

    def _generator_state(self) -> Tensor | None:
        return None if self._loader.generator is None else self._loader.generator.get_state()


def pair(batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a batch on a device.

    Raises:
        InputError: if it is not (inputs, targets) as two tensors of equal length.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not all(isinstance(t, Tensor) for t in batch):
        found = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else "")
        raise InputError(f"data must give (inputs, targets) as two tensors, found a {found}")
    inputs, targets = batch
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets) or not len(inputs):
        raise InputError(
            f"inputs and targets must hold the same number of examples, at least one; found shapes "
            f"{list(inputs.shape)} and {list(targets.shape)}"
        )
    return inputs.to(device), targets.to(device)
