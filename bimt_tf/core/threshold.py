"""The soft threshold of a vector of weights in Adam's metric, in as few and as cheap operations as there are.

It gives the bits of cost.py's ``shrink_``, which takes any tensors; here the memory stays the same from step to step,
so buffers are kept. NumPy's operations on a short vector take half the time of torch's, on the same memory and with
the same results, all but the square root.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Threshold", "threshold_of"]

SHORT = 2**14  # up to so many entries NumPy is quicker; behind it both wait for memory, and torch takes more threads
EXACT = (torch.float32, torch.float64)  # in which both round their results correctly


class Threshold:
    """The soft threshold of ``weights`` [entries] by ``pays`` [entries], which are tensors that stay."""

    def apply_(self, square: Tensor, correction: float, lr: float, eps: float) -> None:
        """Threshold each entry by min(lr, pays / (sqrt(square / correction) + eps)); ``square`` is Adam's moment."""
        raise NotImplementedError


def threshold_of(weights: Tensor, pays: Tensor) -> Threshold:
    """The quicker way for these weights."""
    short = weights.is_cpu and weights.dtype in EXACT and weights.numel() <= SHORT
    return _ByNumPy(weights, pays) if short else _ByTorch(weights, pays)


class _ByTorch(Threshold):
    """In torch's operations."""

    def __init__(self, weights: Tensor, pays: Tensor) -> None:
        self._weights, self._pays = weights, pays
        self._threshold, self._removed = torch.zeros_like(weights), torch.zeros_like(weights)
        # numbers as tensors, for torch takes longer to make a tensor of a number than to add it
        self._correction, self._eps = (torch.zeros((), dtype=weights.dtype) for _ in range(2))

    def apply_(self, square: Tensor, correction: float, lr: float, eps: float) -> None:
        threshold = self._threshold
        torch.div(square, self._correction.fill_(correction), out=threshold)
        threshold.sqrt_().add_(self._eps.fill_(eps))
        torch.div(self._pays, threshold, out=threshold).clamp_max_(lr)
        torch.neg(threshold, out=self._removed)
        self._weights.sub_(torch.clamp(self._weights, self._removed, threshold, out=self._removed))


class _ByNumPy(Threshold):
    """In NumPy's operations on the same memory."""

    def __init__(self, weights: Tensor, pays: Tensor) -> None:
        self._weights, self._pays = weights.numpy(), pays.numpy()
        self._root = torch.zeros_like(weights)
        self._threshold, self._removed = self._root.numpy(), np.zeros_like(self._weights)
        self._correction, self._eps, self._lr = (np.zeros((), self._weights.dtype) for _ in range(3))
        self._moment: Tensor | None = None  # Adam's, and its memory
        self._square = self._weights

    def apply_(self, square: Tensor, correction: float, lr: float, eps: float) -> None:
        if square is not self._moment:
            self._moment, self._square = square, square.numpy()
        threshold, removed, weights = self._threshold, self._removed, self._weights
        with np.errstate(all="ignore"):  # as torch's: a huge rate or moment, no eps, weights that diverged
            self._correction[()], self._eps[()], self._lr[()] = correction, eps, lr
            np.divide(self._square, self._correction, out=threshold)
            self._root.sqrt_()  # torch's is not rounded correctly, and NumPy's would end in other weights
            np.add(threshold, self._eps, out=threshold)
            np.divide(self._pays, threshold, out=threshold)
            np.minimum(threshold, self._lr, out=threshold)
            np.negative(threshold, out=removed)
            np.maximum(weights, removed, out=removed)
            np.minimum(removed, threshold, out=removed)
            np.subtract(weights, removed, out=weights)
