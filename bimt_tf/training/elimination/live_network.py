"""The network as a function of its live weights alone: residuals, Jacobian and normal equations in float64.

Live are the entries of parameters that are not zero, biases among them. The arithmetic is done by the compact network
where there is one, for most of a sparse network's time would go into dead neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from bimt_tf.analysis.compact import Compact, can_compact, compact, expand_
from bimt_tf.bimt import BIMT
from bimt_tf.training.elimination.levenberg_marquardt import Normal

__all__ = ["Examples", "LiveNetwork", "Residuals", "Sampled"]

Residuals: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) [n, ...] -> residuals [n, k]; the loss is the mean of their squares."""

BATCH_ENTRIES = 2**23
"""The Jacobian of the whole compact network is held for so many entries at once (64 MB)."""

REACH = 0.1
"""The share of a step on both sides over which the second difference of the residuals is taken."""


class Examples(NamedTuple):
    """Inputs and targets [n, ...], numbers in float64."""

    inputs: Tensor
    targets: Tensor


class Sampled(NamedTuple):
    """The quadratic picture of a loss by some examples: its gradient g [n], and J [m, n] with the curvature J'J."""

    gradient: Float[Tensor, " n"]
    jacobian: Float[Tensor, "m n"]


class LiveNetwork:
    """``bimt.model``, a float64 model that is never trained on elsewhere, as a least-squares problem.

    ``start`` [n] are the live weights as they are, and ``live`` [n] their places among the entries of the compact
    network's parameters, end to end.

    Args:
        bimt: the whole model.
        examples: what the loss is measured on.
        residuals: what its residuals are.
        dense: take all weights between the neurons that are left as live, also those that are zero.
    """

    def __init__(self, bimt: BIMT, examples: Examples, residuals: Residuals, dense: bool = False) -> None:
        self.examples, self._residuals = examples, residuals
        self.compact = compact(bimt) if can_compact(bimt.model) else _whole(bimt)
        self._named = dict(self.compact.model.named_parameters())
        self._all = torch.cat([p.detach().flatten() for p in self._named.values()])
        free = torch.cat(
            [torch.full_like(p, p.requires_grad, dtype=torch.bool).flatten() for p in self._named.values()]
        )
        self.live = (free if dense else free & (self._all != 0)).nonzero().squeeze(1)
        self.start = self._all[self.live]

    @property
    def compact_entries(self) -> Tensor:
        """All entries of the compact network's parameters, end to end."""
        return self._all

    def gather(self, whole: Mapping[str, Tensor]) -> Tensor:
        """[n]: of tensors in the whole parameters' shapes, the entries that belong to the live weights."""
        parts = [whole[name].flatten()[self.compact.entries[name].flatten()] for name in self._named]
        return torch.cat(parts)[self.live]

    @torch.no_grad()
    def residuals(self, values: Float[Tensor, " n"], examples: Examples | None = None) -> Float[Tensor, "examples k"]:
        """The residuals of the examples, or of others."""
        inputs, targets = examples if examples is not None else self.examples
        outputs = functional_call(self.compact.model, self._parameters(self._filled(values)), (inputs,))
        return self._residuals(outputs, targets)

    def loss(self, values: Float[Tensor, " n"], examples: Examples | None = None) -> float:
        """The mean of the squared residuals of the examples, or of others."""
        return float(self.residuals(values, examples).square().mean())

    def jacobian(self, values: Float[Tensor, " n"], batch: Examples) -> Float[Tensor, "residuals n"]:
        """The derivatives of a batch's residuals, by example and k."""
        # not by the live weights alone: scattering them costs more than the dead entries of a compact network do
        columns = vmap(jacrev(self._of_one), in_dims=(None, 0, 0))(self._filled(values), *batch)
        return cast(Tensor, columns).flatten(0, 1)[:, self.live]

    def normal(self, values: Float[Tensor, " n"]) -> Normal:
        """The loss with its quadratic picture, summed over batches of examples."""
        n = len(values)
        gradient, curvature = values.new_zeros(n), values.new_zeros(n, n)
        residuals = self.residuals(values)
        size = max(1, BATCH_ENTRIES // (max(1, len(self._all)) * residuals.shape[1]))
        for first in range(0, len(residuals), size):
            batch = Examples(*(part[first : first + size] for part in self.examples))
            jacobian = self.jacobian(values, batch)
            gradient += jacobian.mT @ residuals[first : first + size].flatten()
            curvature.addmm_(jacobian.mT, jacobian)
        m = residuals.numel()
        return Normal(float(residuals.square().mean()), gradient / m, curvature / m)

    def sampled(self, values: Float[Tensor, " n"], few: Examples) -> Sampled:
        """The quadratic picture by few examples, without any matrix of n x n."""
        jacobian, residuals = self.jacobian(values, few), self.residuals(values, few).flatten()
        root = len(residuals) ** 0.5
        return Sampled(jacobian.mT @ residuals / len(residuals), jacobian / root)

    def bend(self, values: Float[Tensor, " n"], step: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """J'r''(step, step) / m: the second derivative of the residuals along ``step``, through the Jacobian."""
        ahead, here, back = (self.residuals(values + at * step) for at in (REACH, 0.0, -REACH))
        second = (ahead - 2 * here + back) / REACH**2
        moved = values.clone().requires_grad_()
        outputs = functional_call(self.compact.model, self._parameters(self._filled(moved)), (self.examples.inputs,))
        product = (self._residuals(outputs, self.examples.targets) * second).sum() / second.numel()
        return torch.autograd.grad(product, moved)[0]

    @torch.no_grad()
    def write_(self, values: Float[Tensor, " n"], bimt: BIMT) -> None:
        """Write live weights into a whole model; whatever is not part of the compact network becomes zero."""
        values_of = self._parameters(self._filled(values))
        for name, parameter in self._named.items():
            parameter.copy_(values_of[name])
        expand_(bimt, self.compact)

    def _of_one(self, everything: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        outputs = functional_call(self.compact.model, self._parameters(everything), (inputs[None],))
        return self._residuals(outputs, target[None])[0]

    def _filled(self, values: Tensor) -> Tensor:
        return self._all.index_copy(0, self.live, values)

    def _parameters(self, everything: Tensor) -> dict[str, Tensor]:
        parts = torch.split(everything, [p.numel() for p in self._named.values()])
        return {name: part.view(p.shape) for (name, p), part in zip(self._named.items(), parts, strict=True)}


def _whole(bimt: BIMT) -> Compact:
    """A model that compact does not know, as it is."""
    entries = {n: torch.arange(p.numel(), device=p.device).view(p.shape) for n, p in bimt.parameters.items()}
    return Compact(bimt.model, {}, entries)
