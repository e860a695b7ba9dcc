"""The connection cost (Eqs. 3 and 4) and what training does with it.

    cost = sum over linear layers of r(d |w|) + r(y_star |b|),  r = sum (Eq. 3) or mean per layer (the notebooks)

so every entry has a coefficient, its wire's length over the number of entries it is averaged with, and the cost
is linear in |w|. A connection that is not local pays y_star in the place of d. The gradient is coefficient * sign(w);
the proximal step is a soft threshold in Adam's metric. Coefficients come whole or in blocks (coefficient.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from bimt_tf.core.bundle import Bundles
from bimt_tf.core.coefficient import Coefficient, Index
from bimt_tf.core.optimizer_state import Optimizers, optimizers_of, require_holds_each, require_learning_rates
from bimt_tf.errors import require_non_negative

__all__ = ["Charged", "total", "add_gradient_", "shrink_"]


Charged = tuple[Tensor, Tensor | Coefficient]
"""A parameter and what its entries pay."""


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
def add_gradient_(weights: Iterable[Charged], lam: float, bundles: Bundles | None = None) -> None:
    """Add lam * coefficient * sign(w) to every parameter's ``.grad`` in place (made if it is None).

    A parameter that does not require a gradient gets none, as in a backward pass. At w = 0 the subgradient is 0.

    Args:
        weights: what is charged.
        lam: the penalty's weight.
        bundles: those of the model, which save time and change no bit.

    Raises:
        InputError: for a ``lam`` that is negative or not finite.
    """
    require_non_negative("lam", lam)
    trained = [(p, c) for p, c in weights if p.requires_grad]
    parameters, coefficients = [p for p, _ in trained], [c for _, c in trained]
    gradients = []
    for p in parameters:
        if (gradient := p.grad) is None:
            p.grad = gradient = torch.zeros_like(p)
        gradients.append(gradient)
    bundle = bundles.of(parameters, coefficients) if bundles is not None else None
    if bundle is not None:
        bundle.add_gradient_(gradients, lam)
        return
    for which, at in _passes(coefficients):
        pull = torch._foreach_sign(_take(parameters, which, at))
        torch._foreach_mul_(pull, _pays(coefficients, which, at))
        torch._foreach_add_(_take(gradients, which, at), pull, alpha=lam)


@torch.no_grad()
def shrink_(weights: Iterable[Charged], lam: float, optimizer: Optimizers, bundles: Bundles | None = None) -> None:
    """The proximal step of lam * cost, after the optimizers' steps: exact zeros without a cut.

    Each entry is soft-thresholded by t = min(lr, lr lam c / (sqrt(v_hat) + eps)), Adam's own metric with its
    second moment v_hat; without one (SGD), or one of another kind (Adafactor), by lr lam c. The clamp keeps an entry
    whose loss gradient is nil from moving faster than Adam moves any. Where Adam has skipped its first step, as it
    does for gradients that overflowed, nothing is shrunk: v_hat is not known.

    Args:
        weights: what is charged.
        lam: the penalty's weight.
        optimizer: those that have taken their step.
        bundles: those of the model, which save time and change no bit.

    Raises:
        InputError: if the optimizers do not hold every charged parameter that requires a gradient, or one has no
            learning rate.
    """
    require_non_negative("lam", lam)
    optimizers = optimizers_of(optimizer)
    trained = [(p, c) for p, c in weights if p.requires_grad]
    require_holds_each((p for p, _ in trained), optimizers)
    if lam == 0:
        return
    require_learning_rates(optimizers)
    for one in optimizers:
        for group in one.param_groups:
            own = {id(p) for p in group["params"]}
            adaptive: list[_Member] = []
            plain: list[_Member] = []
            for p, c in trained:
                if id(p) not in own:
                    continue
                state = one.state.get(p, {})
                if not ("exp_avg_sq" in state and "betas" in group):
                    plain.append(_Member(p, c, None, 0.0))
                elif step := _number(state["step"]):
                    adaptive.append(_Member(p, c, state["exp_avg_sq"], step))
            for members in (adaptive, plain):
                if members:
                    _shrink_group_(members, lam, group, bundles)


def _number(step: Tensor | float) -> float:
    return float(step.item() if isinstance(step, Tensor) else step)


class _Member(NamedTuple):
    """A parameter of an optimizer's group: what it pays, and Adam's second moment and step, if it has them."""

    parameter: Tensor
    pays: Tensor | Coefficient
    square: Tensor | None
    step: float


def _shrink_group_(members: list[_Member], lam: float, group: dict[str, Any], bundles: Bundles | None) -> None:
    """Soft-threshold parameters that share a learning rate, all with Adam's second moment or all without."""
    parameters, coefficients, lr = [one.parameter for one in members], [one.pays for one in members], float(group["lr"])
    moments = [one.square for one in members if one.square is not None]
    steps = [one.step for one in members]
    if bundles is not None and moments and steps.count(steps[0]) == len(steps):
        bundle = bundles.of(parameters, coefficients)
        if bundle is not None and bundle.takes(moments):
            bundle.shrink_(1 - group["betas"][1] ** steps[0], lr, lam, float(group["eps"]))
            return
    corrections = [1 - group["betas"][1] ** step for step in steps] if moments else []
    for which, at in _passes(coefficients):
        thresholds = torch._foreach_mul(_pays(coefficients, which, at), lr * lam)
        if moments:
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
