"""A loss by minibatches: its mean over examples, and random gradients whose squares are its curvature.

Nothing here holds more than one minibatch's activations. With the rows of an objective (objective.py), whose Jacobian J
makes the curvature H = J'J / u, and random signs e, the gradient g = J'e / sqrt(u) has g g' = H in the mean
(Hutchinson, 1990): one backward pass each, whatever the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bimt_tf.training.elimination.distillation import refit_loss
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.objective import Objective

__all__ = ["Minibatches"]

TERMS = 1_024
"""About so many terms of the loss (examples, or tokens of a text) make a minibatch."""


class Minibatches(NamedTuple):
    """A model's loss on examples, a minibatch of ``size`` at a time.

    ``model`` gives outputs of inputs; ``parameters``: those that are read and moved, by name.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    objective: Objective
    examples: Examples
    size: int

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: nn.Module, parameters: Mapping[str, nn.Parameter], objective: Objective, examples: Examples
    ) -> Minibatches:
        """With minibatches of about ``TERMS`` terms."""
        inputs, targets = (part[:1] for part in examples)
        size = TERMS // max(1, objective.units(model(inputs), targets))
        return cls(model, parameters, objective, examples, max(1, min(size, len(examples[0]))))

    @torch.no_grad()
    def mean(self, examples: Examples | None = None) -> float:
        """The loss over all examples, or over others, in their order."""
        inputs, targets = self.examples if examples is None else examples
        total, units = 0.0, 0
        for first in range(0, len(inputs), self.size):
            x, y = inputs[first : first + self.size], targets[first : first + self.size]
            outputs = self.model(x)
            found = self.objective.units(outputs, y)
            total, units = total + found * float(self.objective.loss(outputs, y)), units + found
        return total / units

    def gradients(
        self, count: int, generator: torch.Generator, teacher: nn.Module | None = None
    ) -> Iterator[list[Tensor]]:
        """Gradients of what a refit lowers (distillation.py), of ``count`` minibatches, drawn without replacement."""
        for x, y in self._drawn(count, self.size, generator):
            yield self._gradients(refit_loss(self.objective, teacher, x, self.model(x), y))

    def probes(self, count: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
        """Random gradients g of ``count`` minibatches: the mean of g g' is the curvature of the mean loss."""
        for x, y in self._drawn(count, self.size, generator):
            outputs = self.model(x)
            rows = self.objective.rows(outputs, y, self.objective.factors(outputs.detach(), y))
            signs = (torch.randint(0, 2, rows.shape, generator=generator) * 2 - 1).to(rows)
            yield self._gradients((rows * signs).sum() / math.sqrt(self.objective.units(outputs, y)))

    def _drawn(self, count: int, size: int, generator: torch.Generator) -> Iterator[Examples]:
        inputs, targets = self.examples
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(count):
            if len(order) < size:
                order = torch.randperm(len(inputs), generator=generator)
            chosen, order = order[:size].to(inputs.device), order[size:]
            yield Examples(inputs[chosen], targets[chosen])

    def _gradients(self, number: Tensor) -> list[Tensor]:
        parameters = list(self.parameters.values())
        found = torch.autograd.grad(number, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
