"""The network as a function of its live weights alone: loss, Jacobian and normal equations in float64.

Live are the entries of parameters that are not zero, biases among them. The arithmetic is done by the compact network
where there is one, for most of a sparse network's time would go into dead neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from bimt_tf.analysis.compact import Compact, can_compact, compact, expand_
from bimt_tf.bimt import BIMT
from bimt_tf.training.elimination.heavy_rows import Rows, drawn_rows, rows_for
from bimt_tf.training.elimination.levenberg_marquardt import Normal
from bimt_tf.training.elimination.objective import Objective

__all__ = ["FLAT", "NOT_FINITE", "Examples", "LiveNetwork", "Sampled"]

BATCH_ENTRIES = 2**23
"""The Jacobian of the whole compact network is held for so many entries at once (64 MB)."""

REACH = 0.1
"""The share of a step on both sides over which the second difference of the residuals is taken."""

NOT_FINITE = "the curvature of the loss was not finite at a round, where the smallest weights went first"
FLAT = "the loss had no curvature by any weight at a round, where the smallest weights went first"
"""Said where brain surgeon cannot choose."""


class Examples(NamedTuple):
    """Inputs and targets [n, ...], numbers in float64."""

    inputs: Tensor
    targets: Tensor


class Sampled(NamedTuple):
    """The quadratic picture of a loss by some examples: its gradient g [n], and J [m, n] with the curvature J'J."""

    gradient: Float[Tensor, " n"]
    jacobian: Float[Tensor, "m n"]


class LiveNetwork:
    """``bimt.model``, a float64 model that is never trained on elsewhere, as a function of what is left of it.

    ``start`` [n] are the live weights as they are, and ``live`` [n] their places among the entries of the compact
    network's parameters, end to end.

    Args:
        bimt: the whole model.
        examples: what the loss is measured on.
        objective: what the loss is.
        dense: take all weights between the neurons that are left as live, also those that are zero.
        note: told, as a sentence, where the curvature is of no use.
    """

    def __init__(
        self,
        bimt: BIMT,
        examples: Examples,
        objective: Objective,
        dense: bool = False,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.examples, self._objective, self._note = examples, objective, note
        self.compact = compact(bimt) if can_compact(bimt.model) else _whole(bimt)
        self._named = dict(self.compact.model.named_parameters())
        self._all = torch.cat([p.detach().flatten() for p in self._named.values()])
        free = torch.cat(
            [torch.full_like(p, p.requires_grad, dtype=torch.bool).flatten() for p in self._named.values()]
        )
        self.live = (free if dense else free & (self._all != 0)).nonzero().squeeze(1)
        self.start = self._all[self.live]

    @property
    def draws_rows(self) -> bool:
        """Whether :meth:`sampled` draws rows by their size."""
        return not self._objective.residuals

    @property
    def compact_entries(self) -> Tensor:
        """All entries of the compact network's parameters, end to end."""
        return self._all

    def gather(self, whole: Mapping[str, Tensor]) -> Tensor:
        """[n]: of tensors in the whole parameters' shapes, the entries that belong to the live weights."""
        parts = [whole[name].flatten()[self.compact.entries[name].flatten()] for name in self._named]
        return torch.cat(parts)[self.live]

    @torch.no_grad()
    def loss(self, values: Float[Tensor, " n"], examples: Examples | None = None) -> float:
        """The loss of the examples, or of others."""
        inputs, targets = examples if examples is not None else self.examples
        return float(self._objective.loss(self._outputs(self._filled(values), inputs), targets))

    @torch.no_grad()
    def terms(self, examples: Examples) -> int:
        """Over how many numbers the loss of these examples is a mean."""
        return self._objective.units(self._outputs(self._all, examples.inputs), examples.targets)

    @torch.no_grad()
    def outputs(self) -> Tensor:
        """What the network gives for the examples as it is."""
        return self._outputs(self._all, self.examples.inputs)

    def best_of(self, trials: Sequence[Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        """The trial of the least loss; one whose loss is not finite only if none is."""
        losses = [self.loss(trial) for trial in trials]
        return trials[min(range(len(trials)), key=lambda i: losses[i] if math.isfinite(losses[i]) else math.inf)]

    def jacobian(
        self, values: Float[Tensor, " n"], batch: Examples, factors: Float[Tensor, "examples ..."]
    ) -> Float[Tensor, "rows n"]:
        """The derivatives of a batch's rows (objective.py), those of one example after the other."""
        # not by the live weights alone: scattering them costs more than the dead entries of a compact network do
        columns = vmap(jacrev(self._of_one), in_dims=(None, 0, 0, 0))(self._filled(values), *batch, factors)
        return cast(Tensor, columns).flatten(0, 1)[:, self.live]

    def _some_rows(self, values: Tensor, given: Examples, factors: Tensor, rows: Rows) -> Float[Tensor, "rows n"]:
        """The derivatives of some of the examples' rows."""

        def of_one(everything: Tensor, inputs: Tensor, target: Tensor, factors: Tensor, row: Tensor) -> Tensor:
            return self._of_one(everything, inputs, target, factors).gather(0, row[None])[0]

        batch = (part[rows.of] for part in (*given, factors))
        of_each = cast(Callable[..., Tensor], vmap(grad(of_one), in_dims=(None, 0, 0, 0, 0)))
        return of_each(self._filled(values), *batch, rows.row)[:, self.live]

    def normal(self, values: Float[Tensor, " n"]) -> Normal:
        """The loss with its quadratic picture, summed over batches of examples."""
        objective, n = self._objective, len(values)
        gradient, curvature = values.new_zeros(n), values.new_zeros(n, n)
        inputs, targets = self.examples
        with torch.no_grad():
            outputs = self._outputs(self._filled(values), inputs)
            factors = objective.factors(outputs, targets)
            rows, units = objective.rows(outputs, targets, factors), objective.units(outputs, targets)
            loss = float(objective.loss(outputs, targets))
        drawn = rows_for(n, objective.sizes(factors))
        size = max(1, BATCH_ENTRIES // (max(1, len(self._all)) * (1 if drawn else rows.shape[1])))
        for first in range(0, len(drawn.scale) if drawn else len(rows), size):
            part = slice(first, first + size)
            if drawn:
                picked = Rows(drawn.rows.of[part], drawn.rows.row[part])
                jacobian = drawn.scale[part, None] * self._some_rows(values, self.examples, factors, picked)
            else:
                jacobian = self.jacobian(values, Examples(inputs[part], targets[part]), factors[part])
            if objective.residuals:
                gradient += jacobian.mT @ rows[part].flatten()
            curvature.addmm_(jacobian.mT, jacobian)
        gradient = gradient / units if objective.residuals else self.gradient(values, self.examples) / 2
        if not bool(curvature.isfinite().all()):
            self._note(NOT_FINITE)
        elif n and not bool((curvature.diagonal() > 0).any()):
            self._note(FLAT)
        return Normal(loss, gradient, curvature / units)

    def sampled(self, values: Float[Tensor, " n"], few: Examples, rows: int | None = None) -> Sampled:
        """The quadratic picture by few examples, without any matrix of n x n.

        Args:
            values: where.
            few: the examples.
            rows: the curvature is made of so many of their rows (objective.py), drawn by their size where that is told;
                of all unless given.
        """
        objective = self._objective
        with torch.no_grad():
            outputs = self._outputs(self._filled(values), few.inputs)
            factors = objective.factors(outputs, few.targets)
            units, sizes = objective.units(outputs, few.targets), objective.sizes(factors) if rows else None
            residuals = objective.rows(outputs, few.targets, factors).flatten()
        if rows and sizes is not None and rows < sizes.numel():
            drawn = drawn_rows(sizes, rows)
            jacobian = drawn.scale[:, None] * self._some_rows(values, few, factors, drawn.rows)
        else:
            jacobian = self.jacobian(values, few, factors)
        straight = jacobian.mT @ residuals / units if objective.residuals else self.gradient(values, few) / 2
        return Sampled(straight, jacobian / units**0.5)

    def bend(self, values: Float[Tensor, " n"], step: Float[Tensor, " n"]) -> Float[Tensor, " n"] | None:
        """J'r''(step, step) / m: the second derivative of the residuals along ``step``, through the Jacobian.

        None for a loss without residuals.
        """
        if not self._objective.residuals:
            return None
        with torch.no_grad():
            ahead, here, back = (self._rows(self._filled(values + at * step)) for at in (REACH, 0.0, -REACH))
            second = (ahead - 2 * here + back) / REACH**2
        moved = values.clone().requires_grad_()
        product = (self._rows(self._filled(moved)) * second).sum() / second.numel()
        return torch.autograd.grad(product, moved)[0]

    def gradient(self, values: Float[Tensor, " n"], examples: Examples) -> Float[Tensor, " n"]:
        """Of the loss of some examples."""
        moved = values.clone().requires_grad_()
        inputs, targets = examples
        loss = self._objective.loss(self._outputs(self._filled(moved), inputs), targets)
        return torch.autograd.grad(loss, moved)[0]

    def _rows(self, everything: Tensor) -> Tensor:
        """The residuals of all examples."""
        inputs, targets = self.examples
        outputs = self._outputs(everything, inputs)
        return self._objective.rows(outputs, targets, outputs.new_zeros(len(outputs), 0))

    @torch.no_grad()
    def write_(self, values: Float[Tensor, " n"], bimt: BIMT) -> None:
        """Write live weights into a whole model; whatever is not part of the compact network becomes zero."""
        values_of = self._parameters(self._filled(values))
        for name, parameter in self._named.items():
            parameter.copy_(values_of[name])
        expand_(bimt, self.compact)

    def _of_one(self, everything: Tensor, inputs: Tensor, target: Tensor, factors: Tensor) -> Tensor:
        outputs = self._outputs(everything, inputs[None])
        return self._objective.rows(outputs, target[None], factors[None])[0]

    def _outputs(self, everything: Tensor, inputs: Tensor) -> Tensor:
        return cast(Tensor, functional_call(self.compact.model, self._parameters(everything), (inputs,)))

    def _filled(self, values: Tensor) -> Tensor:
        return self._all.index_copy(0, self.live, values)

    def _parameters(self, everything: Tensor) -> dict[str, Tensor]:
        parts = torch.split(everything, [p.numel() for p in self._named.values()])
        return {name: part.view(p.shape) for (name, p), part in zip(self._named.items(), parts, strict=True)}


def _whole(bimt: BIMT) -> Compact:
    """A model that compact does not know, as it is."""
    entries = {n: torch.arange(p.numel(), device=p.device).view(p.shape) for n, p in bimt.parameters.items()}
    return Compact(bimt.model, {}, entries)
