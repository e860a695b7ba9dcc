"""Which tensors lie on the same memory, found by storage, offset and stride: ties, modules used twice, views.

Moving the rows of one of two such tensors moves the other's too, so both must mean the same by their axes
(core/review.py), and what lies on the same memory is moved once (core/moves.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.core.model_tree import Held

__all__ = ["Shared", "memory", "overlap", "shared"]


class Shared(NamedTuple):
    """Two tensors on the same memory.

    ``dims``: the second's dimension i is the first's ``dims[i]``; None where they overlap in another way. A tensor
    whose own entries lie on each other (an expanded one) is shared with itself.
    """

    first: Held
    second: Held
    dims: tuple[int, ...] | None


class _Place(NamedTuple):
    """Where a tensor's entries lie, in bytes."""

    storage: tuple[str, int]
    start: int
    stop: int


def memory(tensor: Tensor) -> tuple[object, ...]:
    """What is equal for two tensors whose entries are the same memory, in whatever order their dimensions stand."""
    place = _place(tensor)
    if place is None:
        return (id(tensor),)
    steps = sorted((step, size) for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)
    return (place.storage, place.start, tensor.dtype, *steps)


def overlap(tensors: Iterable[Tensor]) -> bool:
    """Whether two tensors may share memory: quick, and right about each that says no (:func:`shared` is exact)."""
    places = (_place(tensor) for tensor in tensors)
    spans = sorted((one.storage, one.start, one.stop) for one in places if one is not None)
    return any(a[0] == b[0] and a[2] > b[1] for a, b in pairwise(spans))


def shared(tensors: Iterable[Held]) -> Iterator[Shared]:
    """Every two of the tensors that lie on the same memory, in the order given."""
    tensors = list(tensors)
    if _apart([one.tensor for one in tensors]):
        return
    placed = []
    for number, one in enumerate(tensors):
        if (place := _place(one.tensor)) is not None:
            placed.append((place, number, one))
            steps = zip(one.tensor.stride(), one.tensor.shape, strict=True)
            if any(step == 0 and size > 1 for step, size in steps):
                yield Shared(one, one, None)
    placed.sort(key=lambda found: (found[0].storage, found[0].start, found[1]))
    active: list[tuple[_Place, int, Held]] = []
    for place, number, one in placed:
        active = [other for other in active if other[0].storage == place.storage and other[0].stop > place.start]
        for _, earlier, other in active:
            first, second = (other, one) if earlier < number else (one, other)
            dims = _dims(first.tensor, second.tensor)
            if dims is not None or _overlap(first.tensor, second.tensor):
                yield Shared(first, second, dims)
        active.append((place, number, one))


def _apart(tensors: Sequence[Tensor]) -> bool:
    """Whether the tensors are sure to share nothing, as most are: contiguous, and their addresses apart.

    It is asked before every swap, and takes a fifth of the time of the exact answer.
    """
    spans = []
    for tensor in tensors:
        if tensor.is_meta or tensor.layout != torch.strided or not tensor.is_contiguous():
            return False
        try:
            start = tensor.data_ptr()
        except (RuntimeError, NotImplementedError):
            return False
        if start == 0:
            return False
        spans.append((start, start + tensor.nbytes))
    spans.sort()
    return all(one[1] <= other[0] for one, other in pairwise(spans))


def _place(tensor: Tensor) -> _Place | None:
    """Where a tensor lies; None for one without memory of its own that can be told (empty, meta, sparse, wrapped)."""
    if tensor.is_meta or tensor.numel() == 0 or tensor.layout != torch.strided:
        return None
    try:
        storage = tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return None
    if storage == 0:
        return None
    last: int = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    start, width = int(tensor.storage_offset()), tensor.element_size()
    return _Place((str(tensor.device), storage), start * width, (start + int(last) + 1) * width)


def _dims(first: Tensor, second: Tensor) -> tuple[int, ...] | None:
    """Which dimension of the first each of the second's is, if both are the same entries; else None."""
    same = first.dtype == second.dtype and first.storage_offset() == second.storage_offset()
    if not same or sorted(first.shape) != sorted(second.shape):
        return None

    def steps(tensor: Tensor) -> list[tuple[int, int]]:
        """(length, step) of each dimension; of length 1 the step says nothing."""
        return [(size, step if size > 1 else 0) for size, step in zip(tensor.shape, tensor.stride(), strict=True)]

    free = dict(enumerate(steps(first)))
    found = []
    for i, wanted in enumerate(steps(second)):
        at = i if free.get(i) == wanted else next((j for j, step in free.items() if step == wanted), None)
        if at is None:
            return None
        found.append(at)
        del free[at]
    return tuple(found)


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Whether any entry of the one lies on an entry of the other: marked one by one, for their ranges overlap."""
    pair = (first, second)
    widths = {tensor.element_size() for tensor in pair}
    unit = widths.pop() if len(widths) == 1 else 1  # bytes that one mark stands for
    found = [place for tensor in pair if (place := _place(tensor)) is not None]
    start, stop = min(place.start for place in found), max(place.stop for place in found)
    marks = torch.zeros((stop - start) // unit, dtype=torch.uint8)
    views = []
    for tensor, place in zip(pair, found, strict=True):
        each = tensor.element_size() // unit
        sizes = [size if step else 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True)]
        steps = [step * each for step in tensor.stride()]
        views.append(marks.as_strided([*sizes, each], [*steps, 1], (place.start - start) // unit))
    views[0].fill_(1)
    return bool(views[1].any())
