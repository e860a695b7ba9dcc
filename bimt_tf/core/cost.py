"""The connection cost (Eqs. 3 and 4) and what training does with it.

    cost = sum over linear layers of r(d |w|) + r(y_star |b|),  r = sum (Eq. 3) or mean per layer (the notebooks)

so every entry has a coefficient, its wire's length over the number of entries it is averaged with, and the cost
is linear in |w|. A connection that is not local pays y_star in the place of d. The gradient is coefficient * sign(w);
the proximal step is a soft threshold in Adam's metric.

Coefficients come whole, as a tensor of the parameter's shape, or as a :class:`Coefficient`, which holds coordinates
alone and is worked through in blocks: at 100 million parameters no second copy of the model is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from bimt_tf.core.geometry import Geometry
from bimt_tf.core.population import Attachment, Connection
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_non_negative, unknown

__all__ = ["Charged", "Coefficient", "Reduction", "scales", "total", "add_gradient_", "shrink_"]

Reduction = Literal["sum", "mean"]

BLOCK_ENTRIES, BLOCK_ENTRIES_GPU = 2**18, 2**24  # what a CPU's cache holds; on a GPU launches cost more than memory

Index = tuple[slice, ...]


def scales(wiring: Wiring, reduction: Reduction) -> dict[str, float]:
    """Charged parameter -> what its entries' lengths are multiplied with: 1, or 1 / entries of its layer.

    Weights and biases of a layer are averaged apart; [W_Q, W_K, W_V] is one layer.
    """
    if reduction not in ("sum", "mean"):
        raise unknown("reduction", str(reduction), ("sum", "mean"))
    charged = [w for w in wiring.wired if isinstance(w, Connection) or w.charged]
    if reduction == "sum":
        return {w.parameter: 1.0 for w in charged}
    kind = {w.parameter: (w.layer, isinstance(w, Attachment) and w.is_bias) for w in charged}
    entries: Counter[tuple[str, bool]] = Counter()
    for w in charged:
        entries[kind[w.parameter]] += w.numel
    return {parameter: 1.0 / entries[key] for parameter, key in kind.items()}


@dataclass(frozen=True, eq=False)
class Coefficient:
    """What each entry of a parameter pays per unit of |w|: scale * d, from coordinates; or a constant without them.

    ``source`` and ``target`` hold the coordinates of both ends along the parameter's dimensions (``Wiring``'s
    ``spread``), on its device and in its dtype.
    """

    shape: tuple[int, ...]
    geometry: Geometry
    scale: float
    source: Tensor
    target: Tensor | None

    @classmethod
    def of(
        cls,
        wired: Connection | Attachment,
        geometry: Geometry,
        places: Mapping[str, Float[Tensor, "neurons dims"]],
        scale: float,
        like: Tensor,
    ) -> Coefficient:
        """``places`` holds every neuron's coordinates (lengths), that is, the coordinates of its slot."""
        if isinstance(wired, Attachment) or not wired.local:
            pays = torch.full((), scale * geometry.layer_gap, dtype=like.dtype, device=like.device)
            return cls(wired.shape, geometry, scale, pays, None)
        ends = (places[stage.population].to(like) for stage in wired.stages)
        source, target = (wired.spread(end, i) for i, end in enumerate(ends))
        return cls(wired.shape, geometry, scale, source, target)

    def blocks(self) -> Iterator[Index]:
        """Indices that together cover the parameter, each of a part small enough to be worked on at once."""
        return _blocks(self.shape, BLOCK_ENTRIES if self.source.device.type == "cpu" else BLOCK_ENTRIES_GPU)

    def block(self, at: Index) -> Tensor:
        """The coefficients of one part, of the part's shape."""
        shape = [len(range(n)[rows]) for n, rows in zip(self.shape, at, strict=False)] + [*self.shape[len(at) :]]
        if self.target is None:
            return self.source.expand(shape)
        source, target = (_part(end, at) for end in (self.source, self.target))
        return self.geometry.lengths(source, target).mul_(self.scale).expand(shape)

    def whole(self) -> Tensor:
        """All of them: a tensor of the parameter's shape."""
        found = self.block(())
        return found if self.target is None else found.contiguous()


Charged = tuple[Tensor, Tensor | Coefficient]
"""A parameter and what its entries pay."""


def _blocks(shape: tuple[int, ...], most: int) -> Iterator[Index]:
    """Slices of ``most`` entries or fewer, over as many leading dimensions as it takes."""
    if not shape:
        yield ()
        return
    row = prod(shape[1:])
    if row <= most or len(shape) == 1:
        rows = max(1, most // max(1, row))
        yield from ((slice(start, start + rows),) for start in range(0, shape[0], rows))
        return
    for start in range(shape[0]):
        yield from ((slice(start, start + 1), *rest) for rest in _blocks(shape[1:], most))


def _part(end: Tensor, at: Index) -> Tensor:
    return end[tuple(rows if length > 1 else slice(None) for rows, length in zip(at, end.shape, strict=False))]


def total(weights: Iterable[Charged]) -> Float[Tensor, ""]:
    """Sum of coefficient * |w| over (parameter, coefficient) pairs; differentiable in the parameters."""
    terms = [_total_of(p, c) for p, c in weights]
    return torch.stack([term.to(terms[0].device) for term in terms]).sum()


def _total_of(parameter: Tensor, coefficient: Tensor | Coefficient) -> Tensor:
    if isinstance(coefficient, Tensor):
        return (coefficient * parameter.abs()).sum()
    found: Tensor = _Blockwise.apply(parameter, coefficient)
    return found


class _Blockwise(torch.autograd.Function):
    """Sum of coefficient * |w| that keeps nothing of the parameter's size for its backward pass."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, coefficient: Coefficient) -> Tensor:
        ctx.save_for_backward(parameter)
        ctx.coefficient = coefficient
        sums = [(parameter[at].abs() * coefficient.block(at)).sum() for at in coefficient.blocks()]
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (parameter,) = ctx.saved_tensors
        gradient = parameter.sign()
        for at in ctx.coefficient.blocks():
            gradient[at].mul_(ctx.coefficient.block(at)).mul_(upstream[0])
        return gradient, None


def _passes(coefficients: Sequence[Tensor | Coefficient]) -> Iterator[tuple[list[int], Index | None]]:
    """What to work on at once: (which parameters, at which block). All whole ones together, the others by block."""
    whole = [i for i, c in enumerate(coefficients) if isinstance(c, Tensor)]
    if whole:
        yield whole, None
    for i, c in enumerate(coefficients):
        if isinstance(c, Coefficient):
            yield from (([i], at) for at in c.blocks())


def _take(tensors: Sequence[Tensor], which: list[int], at: Index | None) -> list[Tensor]:
    return [tensors[i] if at is None else tensors[i][at] for i in which]


def _pays(coefficients: Sequence[Tensor | Coefficient], which: list[int], at: Index | None) -> list[Tensor]:
    return [c.block(at or ()) if isinstance(c, Coefficient) else c for c in (coefficients[i] for i in which)]


@torch.no_grad()
def add_gradient_(weights: Iterable[Charged], lam: float) -> None:
    """Add lam * coefficient * sign(w) to every parameter's ``.grad`` in place (made if it is None).

    A parameter that does not require a gradient gets none, as in a backward pass. At w = 0 the subgradient is 0.
    """
    require_non_negative("lam", lam)
    trained = [(p, c) for p, c in weights if p.requires_grad]
    parameters, coefficients = [p for p, _ in trained], [c for _, c in trained]
    gradients = []
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        gradients.append(p.grad)
    for which, at in _passes(coefficients):
        pull = torch._foreach_sign(_take(parameters, which, at))
        torch._foreach_mul_(pull, _pays(coefficients, which, at))
        torch._foreach_add_(_take(gradients, which, at), pull, alpha=lam)


@torch.no_grad()
def shrink_(weights: Iterable[Charged], lam: float, optimizer: torch.optim.Optimizer) -> None:
    """The proximal step of lam * cost, after ``optimizer.step()``: exact zeros without a cut.

    Each entry is soft-thresholded by t = min(lr, lr lam c / (sqrt(v_hat) + eps)), Adam's own metric with its
    second moment v_hat; without one (SGD), by lr lam c. The clamp keeps an entry whose loss gradient is nil
    from moving faster than Adam moves any.

    Raises:
        InputError: if the optimizer does not hold every charged parameter that requires a gradient.
    """
    require_non_negative("lam", lam)
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    trained = [(p, c) for p, c in weights if p.requires_grad]
    if any(id(p) not in group_of for p, _ in trained):
        raise InputError("the optimizer does not hold every parameter that the connection cost charges")
    if lam == 0:
        return
    for group in optimizer.param_groups:
        for adaptive in (True, False):
            members = [
                (p, c)
                for p, c in trained
                if group_of[id(p)] is group and ("exp_avg_sq" in optimizer.state.get(p, {})) is adaptive
            ]
            if members:
                _shrink_group_(members, lam, group, [optimizer.state[p] for p, _ in members] if adaptive else None)


def _shrink_group_(
    members: list[Charged], lam: float, group: dict[str, Any], states: list[dict[str, Any]] | None
) -> None:
    """Soft-threshold parameters that share a learning rate; ``states`` are Adam's, None without a second moment."""
    parameters, coefficients, lr = [p for p, _ in members], [c for _, c in members], float(group["lr"])
    moments = [state["exp_avg_sq"] for state in states or ()]
    corrections = [1 - group["betas"][1] ** float(state["step"]) for state in states or ()]
    for which, at in _passes(coefficients):
        thresholds = torch._foreach_mul(_pays(coefficients, which, at), lr * lam)
        if states is not None:
            metric = torch._foreach_div(_take(moments, which, at), [corrections[i] for i in which])
            torch._foreach_sqrt_(metric)
            torch._foreach_add_(metric, group["eps"])
            torch._foreach_div_(thresholds, metric)
            torch._foreach_clamp_max_(thresholds, lr)
        own = _take(parameters, which, at)
        removed = torch._foreach_minimum(own, thresholds)
        torch._foreach_neg_(thresholds)
        torch._foreach_maximum_(removed, thresholds)
        torch._foreach_sub_(own, removed)
