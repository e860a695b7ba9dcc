"""The connection cost (Eqs. 3 and 4) and what training does with it.

    cost = sum over linear layers of r(d |w|) + r(y_star |b|),  r = sum (Eq. 3) or mean per layer (the notebooks)

so every entry has a coefficient, its wire's length over the number of entries it is averaged with, and the cost
is linear in |w|. The gradient is coefficient * sign(w); the proximal step is a soft threshold in Adam's metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

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
    if isinstance(wired, Attachment):
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
    for p, c in weights:
        if not p.requires_grad:
            continue
        if p.grad is None:
            p.grad = (c * p.sign()).mul_(lam)
        else:
            p.grad.addcmul_(p.sign(), c, value=lam)


@torch.no_grad()
def shrink_(weights: Iterable[tuple[Tensor, Tensor]], lam: float, optimizer: torch.optim.Optimizer) -> None:
    """The proximal step of lam * cost, after ``optimizer.step()``: exact zeros without a cut.

    Each entry is soft-thresholded by t = min(lr, lr lam c / (sqrt(v_hat) + eps)), Adam's own metric with its
    second moment v_hat; without one (SGD), by lr lam c. The clamp keeps an entry whose loss gradient is nil
    from moving faster than Adam moves any.
    """
    require_non_negative("lam", lam)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for p, c in weights:
        if not p.requires_grad or lam == 0:
            continue
        if id(p) not in groups:
            raise InputError("the optimizer does not hold every parameter that the connection cost charges")
        group, state = groups[id(p)], optimizer.state.get(p, {})
        threshold = c * (float(group["lr"]) * lam)
        if "exp_avg_sq" in state:
            correction = 1 - group["betas"][1] ** float(state["step"])
            threshold.div_((state["exp_avg_sq"] / correction).sqrt_().add_(group["eps"]))
            threshold.clamp_max_(float(group["lr"]))
        p.sub_(torch.maximum(torch.minimum(p, threshold), -threshold))
