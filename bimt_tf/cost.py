"""The connection cost (Eqs. 3 and 4) and what training does with it.

    cost = sum over linear layers of r(d |w|) + r(y_star |b|),  r = sum (Eq. 3) or mean per layer (the notebooks)

so every entry has a coefficient, its wire's length over the number of entries it is averaged with, and the cost
is linear in |w|. A connection that is not local pays y_star in the place of d. The gradient is coefficient * sign(w);
the proximal step is a soft threshold in Adam's metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.errors import InputError, require_non_negative, unknown
from bimt_tf.geometry import Geometry
from bimt_tf.wiring import Attachment, Connection, Wiring

__all__ = ["Reduction", "scales", "coefficient", "total", "add_gradient_", "shrink_"]

Reduction = Literal["sum", "mean"]


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


def coefficient(
    wired: Connection | Attachment,
    geometry: Geometry,
    places: Mapping[str, Float[Tensor, "neurons dims"]],
    scale: float,
    like: Tensor,
) -> Tensor:
    """What each entry of a parameter pays per unit of |w|; its shape, on ``like``'s device and in its dtype.

    ``places`` holds every neuron's coordinates (lengths), that is, the coordinates of its slot.
    """
    if isinstance(wired, Attachment) or not wired.local:
        return torch.full((), scale * geometry.layer_gap, dtype=like.dtype, device=like.device).expand(wired.shape)
    source, target = (places[stage.population].to(like) for stage in wired.stages)
    return wired.unflatten(geometry.distance(source, target).mul_(scale)[None]).contiguous()


def total(weights: Iterable[tuple[Tensor, Tensor]]) -> Float[Tensor, ""]:
    """Sum of coefficient * |w| over (parameter, coefficient) pairs; differentiable in the parameters."""
    terms = [(c * p.abs()).sum() for p, c in weights]
    return torch.stack([term.to(terms[0].device) for term in terms]).sum()


@torch.no_grad()
def add_gradient_(weights: Iterable[tuple[Tensor, Tensor]], lam: float) -> None:
    """Add lam * coefficient * sign(w) to every parameter's ``.grad`` in place (made if it is None).

    A parameter that does not require a gradient gets none, as in a backward pass. At w = 0 the subgradient is 0.
    """
    require_non_negative("lam", lam)
    trained = [(p, c) for p, c in weights if p.requires_grad]
    if not trained:
        return
    parameters, coefficients = [p for p, _ in trained], [c for _, c in trained]
    gradients = []
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        gradients.append(p.grad)
    pull = torch._foreach_sign(parameters)
    torch._foreach_mul_(pull, coefficients)
    torch._foreach_add_(gradients, pull, alpha=lam)


@torch.no_grad()
def shrink_(weights: Iterable[tuple[Tensor, Tensor]], lam: float, optimizer: torch.optim.Optimizer) -> None:
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
    members: list[tuple[Tensor, Tensor]], lam: float, group: dict[str, Any], states: list[dict[str, Any]] | None
) -> None:
    """Soft-threshold parameters that share a learning rate; ``states`` are Adam's, None without a second moment."""
    parameters, lr = [p for p, _ in members], float(group["lr"])
    thresholds = torch._foreach_mul([c for _, c in members], lr * lam)
    if states is not None:
        corrections = [1 - group["betas"][1] ** float(state["step"]) for state in states]
        metric = torch._foreach_div([state["exp_avg_sq"] for state in states], corrections)
        torch._foreach_sqrt_(metric)
        torch._foreach_add_(metric, group["eps"])
        torch._foreach_div_(thresholds, metric)
        torch._foreach_clamp_max_(thresholds, lr)
    removed = torch._foreach_minimum(parameters, thresholds)
    torch._foreach_neg_(thresholds)
    torch._foreach_maximum_(removed, thresholds)
    torch._foreach_sub_(parameters, removed)
