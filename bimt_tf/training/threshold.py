"""The penalty's part of a step on one vector of weights, in as few and as cheap operations as there are.

It gives the bits of cost.py's ``add_gradient_`` and ``shrink_``, which take any tensors and any optimizer; here the
vector and its optimizer stay the same from step to step, so buffers are kept, and so is what an entry pays until the
layout, lambda or the learning rate is another. A step of a small network is a tenth of a millisecond, and its every
operation a microsecond or two: what is looked up, allocated or computed twice would be felt.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bimt_tf.core.threshold import threshold_of

__all__ = ["OnVector"]


class OnVector:
    """Gradient and soft threshold of lam * cost on ``vector`` [entries], whose ``.grad`` is a tensor that stays."""

    def __init__(self, vector: nn.Parameter) -> None:
        self._vector, self._weights = vector, vector.detach()
        self._removed, self._pays = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        self._threshold = threshold_of(self._weights, self._pays)
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
        correction = 1 - group["betas"][1] ** state["step"].item()
        self._threshold.apply_(state["exp_avg_sq"], correction, group["lr"], group["eps"])
