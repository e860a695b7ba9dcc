"""The penalty's part of a step on one vector of weights, in as few and as cheap operations as there are.

It gives the bits of cost.py's ``add_gradient_`` and ``shrink_``, which take any tensors and any optimizer; here the
vector and its optimizer stay the same from step to step, so buffers are kept, and so is what an entry pays until the
layout, lambda or the learning rate is another. A step of a small network is a tenth of a millisecond, and its every
operation a microsecond or two: what is looked up, allocated or computed twice would be felt. NumPy's operations on
a short vector take half the time of torch's, on the same memory and with the same results, all but the square root.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["OnVector"]

SHORT = 2**14  # up to so many entries NumPy is quicker; behind it both wait for memory, and torch takes more threads
EXACT = (torch.float32, torch.float64)  # in which both round their results correctly


class OnVector:
    """Gradient and soft threshold of lam * cost on ``vector`` [entries], whose ``.grad`` is a tensor that stays."""

    def __init__(self, vector: nn.Parameter) -> None:
        self._vector, self._weights = vector, vector.detach()
        self._removed, self._pays = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        short = vector.is_cpu and vector.dtype in EXACT and vector.numel() <= SHORT
        self._threshold = _ByNumPy(self._weights, self._pays) if short else _ByTorch(self._weights, self._pays)
        self._paid: Tensor | None = None  # what _pays was computed from, and times what
        self._times = 0.0

    def add_gradient_(self, owed: Float[Tensor, " entries"], lam: float) -> None:
        """Add lam * owed * sign(w) to the gradient; ``owed`` is the derivative of the cost by each |entry|."""
        assert self._vector.grad is not None
        pull = torch.sign(self._weights, out=self._removed)
        self._vector.grad.add_(pull.mul_(owed), alpha=lam)

    def shrink_(self, owed: Float[Tensor, " entries"], lam: float, optimizer: torch.optim.Optimizer) -> None:
        """Soft-threshold each entry by min(lr, lr lam owed / (sqrt(v_hat) + eps)), Adam having taken its step.

        ``owed`` must be another tensor where it has other values: the product with lr lam is kept with it.
        """
        (group,), state = optimizer.param_groups, optimizer.state[self._vector]
        times = group["lr"] * lam
        if owed is not self._paid or times != self._times:
            self._paid, self._times = owed, times
            torch.mul(owed, times, out=self._pays)
        self._threshold.apply_(state, group["betas"][1], group["lr"], group["eps"])


class _ByTorch:
    """The soft threshold of ``weights`` by ``pays`` in Adam's metric, in torch's operations."""

    def __init__(self, weights: Tensor, pays: Tensor) -> None:
        self._weights, self._pays = weights, pays
        self._threshold, self._removed = torch.zeros_like(weights), torch.zeros_like(weights)
        # numbers as tensors, for torch takes longer to make a tensor of a number than to add it
        self._correction, self._eps = (torch.zeros((), dtype=weights.dtype) for _ in range(2))

    def apply_(self, state: dict[str, Any], beta2: float, lr: float, eps: float) -> None:
        """``state`` is Adam's of these weights."""
        threshold = self._threshold
        self._correction.fill_(1 - beta2 ** state["step"].item())
        torch.div(state["exp_avg_sq"], self._correction, out=threshold)
        threshold.sqrt_().add_(self._eps.fill_(eps))
        torch.div(self._pays, threshold, out=threshold).clamp_max_(lr)
        torch.neg(threshold, out=self._removed)
        self._weights.sub_(torch.clamp(self._weights, self._removed, threshold, out=self._removed))


class _ByNumPy:
    """The same, in NumPy's operations on the same memory."""

    def __init__(self, weights: Tensor, pays: Tensor) -> None:
        self._weights, self._pays = weights.numpy(), pays.numpy()
        self._root = torch.zeros_like(weights)
        self._threshold, self._removed = self._root.numpy(), np.zeros_like(self._weights)
        self._correction, self._eps, self._lr = (np.zeros((), self._weights.dtype) for _ in range(3))
        self._moment: Tensor | None = None  # Adam's, and its memory
        self._square = self._weights

    def apply_(self, state: dict[str, Any], beta2: float, lr: float, eps: float) -> None:
        """``state`` is Adam's of these weights."""
        if state["exp_avg_sq"] is not self._moment:
            self._moment = state["exp_avg_sq"]
            self._square = self._moment.numpy()
        threshold, removed, weights = self._threshold, self._removed, self._weights
        self._correction[()], self._eps[()], self._lr[()] = 1 - beta2 ** state["step"].item(), eps, lr
        np.divide(self._square, self._correction, out=threshold)
        self._root.sqrt_()  # torch's is not rounded correctly, and NumPy's would end in other weights
        np.add(threshold, self._eps, out=threshold)
        with np.errstate(over="ignore"):  # of a huge rate, which bounds it
            np.divide(self._pays, threshold, out=threshold)
        np.minimum(threshold, self._lr, out=threshold)
        np.negative(threshold, out=removed)
        np.maximum(weights, removed, out=removed)
        np.minimum(removed, threshold, out=removed)
        np.subtract(weights, removed, out=weights)
