"""Examples of a user's own, as tensors, a Dataset or a DataLoader, made ready for the training loop."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Split
from bimt_tf.tasks.validation import set_aside
from bimt_tf.training.batches import Batches, Drawn
from bimt_tf.training.device import data_on
from bimt_tf.training.loader_batches import LoaderBatches, pair
from bimt_tf.training.setup import require_batch

__all__ = ["OwnExamples", "OwnData", "examples_of", "held_out_of", "require_dtype", "require_finite"]

OwnData = tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any]
"""(inputs, targets), each [examples, ...]; a Dataset of such pairs; or a DataLoader of batches of them."""

CPU = torch.device("cpu")
USUAL_BATCH = 64
GATHERED = 1_024  # examples of a Dataset that are read at once


class OwnExamples(NamedTuple):
    """``batches`` makes the stream of batches on a device; ``batch_size`` is theirs, 0 for all examples or unknown;
    ``split`` are the examples on the CPU, those to train on in part where they come from a Dataset or a loader.
    """

    split: Split
    batch_size: int
    batches: Callable[[torch.device], Batches]
    all_at_hand: bool
    validation: Data | None = None


def examples_of(
    data: OwnData,
    test: OwnData | None,
    test_share: float,
    batch_size: int | None,
    seed: int,
    validation_share: float = 0.0,
) -> OwnExamples:
    """Training and held-out examples.

    Args:
        data: what to train on.
        test: what is held out; a share of ``data`` unless given.
        test_share: that share, drawn at random by ``seed``.
        batch_size: examples a batch; 0 for all, 64 or all there are unless given.
        seed: of the share held out and of the order of batches.
        validation_share: share of the training examples that is split off (tasks/validation.py), of tensors.

    Raises:
        InputError: for data of another kind, without examples, or of unequal lengths; a batch size for a DataLoader,
            which has its own; no ``test`` for one, whose batches cannot be split.
    """
    if not 0 < test_share < 1:
        raise InputError(f"test_share must be between 0 and 1, found {test_share!r}")
    if isinstance(data, TensorDataset):
        data = cast(OwnData, data.tensors)
    if validation_share and isinstance(data, (Dataset, DataLoader)):
        raise InputError("validation_share splits tensors: give data as (inputs, targets)")
    generator = torch.Generator().manual_seed(seed)
    if isinstance(data, DataLoader):
        if test is None:
            raise InputError("a DataLoader's batches cannot be split: give test=, what is held out")
        if batch_size is not None:
            raise InputError("a DataLoader has a batch size of its own: leave out batch_size")
        return _of_loader(data, _gathered(test), data.batch_size or 0, seed)
    if isinstance(data, Dataset):
        if test is None:
            train, held = _cut(len(cast(Sized, data)), test_share)
            data, test = random_split(data, [train, held], generator=generator)
        size = min(USUAL_BATCH, len(cast(Sized, data))) if batch_size is None else batch_size
        require_batch(size, len(cast(Sized, data)))
        loader = DataLoader(data, batch_size=size or len(cast(Sized, data)), shuffle=True)
        return _of_loader(loader, _gathered(test), size, seed)
    inputs, targets = pair(data, CPU)
    if test is None:
        train, _ = _cut(len(inputs), test_share)
        order = torch.randperm(len(inputs), generator=generator)
        parts = (order[:train], order[train:])
        split = Split(*(Data(inputs[part], targets[part], {}) for part in parts))
    else:
        split = Split(Data(inputs, targets, {}), _gathered(test))
    split, validation = set_aside(split, validation_share)
    count = len(split.train.inputs)
    size = min(USUAL_BATCH, count) if batch_size is None else batch_size
    require_batch(size, count)
    return OwnExamples(split, size, lambda device: Drawn(data_on(split.train, device), size, seed), True, validation)


def held_out_of(data: OwnData, dtype: str) -> Data:
    """Examples to measure a trained model on.

    Args:
        data: as that of :func:`examples_of`.
        dtype: the model's number type, "float32" or "float64".

    Raises:
        InputError: for data of another kind, without examples, of unequal lengths, of another number type, or with
            NaN or infinity in the inputs.
    """
    held_out = _gathered(data)
    require_dtype(held_out, "data", dtype)
    require_finite(held_out, "data", targets=False)
    return held_out


def require_dtype(part: Data, name: str, dtype: str) -> None:
    """Raise InputError for numbers of another type than the model's; whole numbers may be tokens or classes."""
    for values, what in ((part.inputs, "inputs"), (part.targets, "targets")):
        found = str(values.dtype).removeprefix("torch.")
        if values.is_floating_point() and found != dtype:
            raise InputError(f"{what} of {name} are {found} and the model {dtype}: convert one")


def require_finite(part: Data, name: str, *, targets: bool) -> None:
    """Raise InputError for inputs, and with ``targets`` for targets, that hold NaN or infinity.

    A loss of the user's own may leave out targets that are NaN, so those are looked at for the named losses alone.
    """
    for values, what in ((part.inputs, "inputs"), (part.targets, "targets"))[: 2 if targets else 1]:
        wrong = ~torch.isfinite(values).flatten(1).all(1) if values.ndim > 1 else ~torch.isfinite(values)
        if wrong.any():
            raise InputError(f"{what} of {name} hold NaN or infinity in {int(wrong.sum())} of {len(wrong)} examples")


def _of_loader(loader: DataLoader[Any], held_out: Data, size: int, seed: int) -> OwnExamples:
    batches = LoaderBatches(loader, CPU, seed)
    split = Split(batches.examples, held_out)
    return OwnExamples(split, size, lambda device: LoaderBatches(loader, device, seed), False)


def _cut(count: int, test_share: float) -> tuple[int, int]:
    """How many of ``count`` examples are trained on and how many held out; at least one each."""
    held = max(1, round(count * test_share))
    if held >= count:
        raise InputError(f"{count} examples cannot be split with test_share {test_share}: give more, or test=")
    return count - held, held


def _gathered(data: OwnData) -> Data:
    """All examples of data as two tensors."""
    if not isinstance(data, (Dataset, DataLoader)):
        return Data(*pair(data, CPU), {})
    loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size=GATHERED)
    with torch.random.fork_rng(devices=[]):  # a loader draws from the global generator, if only for its workers
        found = [pair(batch, CPU) for batch in loader]
    if not found:
        raise InputError("the held-out data give no example")
    return Data(torch.cat([inputs for inputs, _ in found]), torch.cat([targets for _, targets in found]), {})
