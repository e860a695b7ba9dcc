"""The charged parameters of a small model, worked on as one vector: what cost.py does to each of them, done once.

A small model's penalty is not arithmetic but calls: ten operations for each of thirty parameters. So weights and
Adam's second moments are copied end to end into buffers that stay, a handful of operations is done there, and the
result is copied back: the same bits in a fraction of the time. Models of more than ``MOST`` entries have no need of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

import torch
from torch import Tensor

from bimt_tf.core.coefficient import Coefficient
from bimt_tf.core.threshold import EXACT, threshold_of

__all__ = ["MOST", "Bundle", "Bundles"]

MOST = 2**18  # entries: beyond, reading and writing them takes longer than the calls that are saved
KEPT = 32  # sets of parameters of which a bundle is kept: an optimizer has a group for each layer at most times
PLAIN = (Tensor, torch.nn.Parameter)


class Bundle:
    """Parameters and their coefficients end to end, in buffers of their own.

    Args:
        parameters: contiguous, on the CPU, of one dtype.
        coefficients: of each, a tensor of its shape.
    """

    def __init__(self, parameters: Sequence[Tensor], coefficients: Sequence[Tensor]) -> None:
        self.parameters, self.coefficients = list(parameters), list(coefficients)  # held, so that their ids stay theirs
        self._flat = [p.detach().view(-1) for p in parameters]
        self._pays = torch.cat([c.reshape(-1) for c in coefficients])
        self._own, self._due, self._square = (torch.zeros_like(self._pays) for _ in range(3))
        sizes = [len(one) for one in self._flat]
        self._parts = [part.view(p.shape) for part, p in zip(self._own.split(sizes), parameters, strict=True)]
        self._threshold, self._times = threshold_of(self._own, self._due), 0.0
        self._squares, self._squares_at = tuple[Tensor, ...](), list[int]()
        self._flat_squares: list[Tensor] = []

    def add_gradient_(self, gradients: list[Tensor], lam: float) -> None:
        """Add lam * coefficient * sign(w) to the parameters' gradients."""
        torch.cat(self._flat, out=self._own)
        torch.sign(self._own, out=self._own).mul_(self._pays)
        torch._foreach_add_(gradients, self._parts, alpha=lam)

    def takes(self, squares: Sequence[Tensor]) -> bool:
        """Whether Adam's second moments lie as the parameters do; what they are is kept for :meth:`shrink_`."""
        at = [one.data_ptr() for one in squares]  # which .data = moves, as where moments are offloaded
        if at != self._squares_at or not all(map(is_, squares, self._squares)):
            self._squares, self._squares_at = (), []
            for square, p in zip(squares, self.parameters, strict=True):
                if not fits(square) or square.dtype != p.dtype or square.shape != p.shape:
                    return False
            self._flat_squares = [one.view(-1) for one in squares]
            self._squares, self._squares_at = tuple(squares), at
        return True

    def shrink_(self, correction: float, lr: float, lam: float, eps: float) -> None:
        """Soft-threshold the parameters in the metric of the moments that it takes, divided by ``correction``."""
        torch.cat(self._flat, out=self._own)
        torch.cat(self._flat_squares, out=self._square)
        if lr * lam != self._times:
            self._times = lr * lam
            torch.mul(self._pays, self._times, out=self._due)
        self._threshold.apply_(self._square, correction, lr, eps)
        torch._foreach_copy_(self.parameters, self._parts)


class Bundles:
    """The bundles of a model, each kept until its parameters lie elsewhere or their coefficients are others.

    Copies and pickles of it are empty: a bundle looks at the memory of one model.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], tuple[list[object], Bundle | None]] = {}

    def of(self, parameters: Sequence[Tensor], coefficients: Sequence[Tensor | Coefficient]) -> Bundle | None:
        """The bundle of these parameters; None where they are not fit for one (large, on a GPU, strided)."""
        key = tuple(map(id, parameters))
        try:
            stand: list[object] = [(p.data_ptr(), p.shape, p.stride()) for p in parameters]
        except RuntimeError:  # inside a transform of torch.func, whose tensors have no address
            return None
        stand.extend(map(id, coefficients))
        kept = self._kept.get(key)
        if kept is None or kept[0] != stand:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve outside of it too
                kept = self._kept[key] = stand, _bundle(parameters, coefficients)
        return kept[1]

    def __reduce__(self) -> tuple[type[Bundles], tuple[()]]:
        return Bundles, ()


def _bundle(parameters: Sequence[Tensor], coefficients: Sequence[Tensor | Coefficient]) -> Bundle | None:
    whole = [c for c in coefficients if isinstance(c, Tensor)]
    fit = len(whole) == len(coefficients) > 0 and sum(p.numel() for p in parameters) <= MOST
    dtype = parameters[0].dtype if parameters else None
    if fit and dtype in EXACT and all(type(p) in PLAIN and fits(p) and p.dtype == dtype for p in parameters):
        return Bundle(parameters, whole)
    return None


def fits(tensor: Tensor) -> bool:
    """Whether a tensor can be laid end to end with others without a copy of its own."""
    return tensor.is_cpu and tensor.layout == torch.strided and tensor.is_contiguous()
