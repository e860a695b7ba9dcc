"""Which examples are fitted, and which only validate, where the user gave none that do."""

from __future__ import annotations

import torch
from torch import Tensor

from bimt_tf.training.elimination.live_network import Examples

__all__ = ["set_apart", "shuffled"]


def set_apart(given: Examples, share: float) -> tuple[Examples, Examples]:
    """The examples that are fitted, and the ``share`` of them that validates: drawn at random by a fixed seed.

    Windows of one text, a view with rows that overlap, share their tokens with their neighbours: so of these the last
    ones validate, and those that overlap with them are left out. Both parts are views then.
    """
    n = len(given.inputs)
    aside = max(1, round(share * n))
    shared = max(_neighbours(part) for part in given)
    if shared and n > aside + shared:
        return Examples(*(part[: n - aside - shared] for part in given)), Examples(
            *(part[n - aside :] for part in given)
        )
    order = shuffled(n).to(given.inputs.device)
    fitted, validating = order[aside:].sort().values, order[:aside].sort().values
    return Examples(*(part[fitted] for part in given)), Examples(*(part[validating] for part in given))


def shuffled(n: int) -> Tensor:
    """The numbers below n in an order that is always the same."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))


def _neighbours(part: Tensor) -> int:
    """With how many of the rows behind it a row shares memory."""
    sizes, strides = part.shape[1:], part.stride()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides[1:], strict=True))
    return (extent - 1) // strides[0] if strides[0] else 0
