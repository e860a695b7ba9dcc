"""A loss by minibatches: its mean over examples, and random gradients whose squares are its curvature.

Nothing here holds more than one minibatch's activations. A loss is told in two forms: the sum of its terms, and a
:meth:`BatchLoss.probe`, a number whose gradient g is random with mean g g' equal to the curvature H of the minibatch's
terms in a Gauss-Newton picture L(w + s) - L(w) ~ s.H s at its least. For mean squares the probe is the residuals times
random signs; for cross entropy it is the loss of classes drawn from the network's own probabilities.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bimt_tf.errors import InputError

__all__ = ["BatchLoss", "CrossEntropy", "Minibatches", "Pair", "Squares", "batch_loss"]

TERMS = 1_024
"""About so many terms of the loss (examples, or tokens of a text) make a minibatch."""

Pair: TypeAlias = tuple[Tensor, Tensor]
"""Inputs and targets [n, ...]."""


class BatchLoss(ABC):
    """A mean of terms over examples."""

    @abstractmethod
    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise InputError unless the loss can be taken of these."""

    @abstractmethod
    def terms(self, outputs: Tensor, targets: Tensor) -> int:
        """How many terms a minibatch has."""

    @abstractmethod
    def total(self, outputs: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """The sum of a minibatch's terms."""

    @abstractmethod
    def probe(self, outputs: Tensor, targets: Tensor, generator: torch.Generator) -> Float[Tensor, ""]:
        """The number whose random gradient g has mean g g' = the curvature of the minibatch's terms, summed."""


class Squares(BatchLoss):
    """The mean of squared residuals, which ``residuals`` makes of outputs and targets: [n, k]."""

    def __init__(self, residuals: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._residuals = residuals

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Residuals are [n, k]."""
        found = self._residuals(outputs, targets)
        if found.ndim != 2 or len(found) != len(targets):
            n = len(targets)
            raise InputError(f"loss must give residuals [n, k]; for {n} examples it gave {list(found.shape)}")

    def terms(self, outputs: Tensor, targets: Tensor) -> int:
        """Residuals."""
        return self._residuals(outputs, targets).numel()

    def total(self, outputs: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """The sum of their squares."""
        return self._residuals(outputs, targets).square().sum()

    def probe(self, outputs: Tensor, targets: Tensor, generator: torch.Generator) -> Float[Tensor, ""]:
        """The residuals, each with a random sign (Hutchinson, 1990)."""
        residuals = self._residuals(outputs, targets)
        signs = torch.randint(0, 2, residuals.shape, generator=generator) * 2 - 1
        return (residuals * signs.to(residuals)).sum()


class CrossEntropy(BatchLoss):
    """Mean cross entropy, in nats, of logits [n, ..., classes] and classes [n, ...]."""

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Targets are whole numbers, one for each row of logits."""
        if targets.is_floating_point() or outputs.shape[:-1] != targets.shape:
            raise InputError(
                "cross entropy takes logits [n, ..., classes] and whole numbers [n, ...] as targets, found "
                f"{list(outputs.shape)} and {list(targets.shape)} of {targets.dtype}"
            )

    def terms(self, outputs: Tensor, targets: Tensor) -> int:
        """Classes that are predicted."""
        return targets.numel()

    def total(self, outputs: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """The sum over all predicted classes."""
        return cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="sum")

    def probe(self, outputs: Tensor, targets: Tensor, generator: torch.Generator) -> Float[Tensor, ""]:
        """Of classes drawn from the softmax: the mean of their gradients' squares is the Fisher information."""
        logits = outputs.flatten(0, -2)
        drawn = torch.rand(len(logits), 1, generator=generator).to(logits)
        below = logits.detach().softmax(-1).cumsum(-1) < drawn
        classes = below.sum(-1).clamp_max(logits.shape[-1] - 1)  # the sum of all may round to less than 1
        return cross_entropy(logits, classes, reduction="sum") / math.sqrt(2)


def batch_loss(loss: object) -> BatchLoss:
    """The loss that a user's word, or function of residuals, stands for.

    Raises:
        InputError: for what is neither.
    """
    if loss == "cross_entropy":
        return CrossEntropy()
    if loss == "squared":
        return Squares(_difference)
    if callable(loss):
        return Squares(loss)
    raise InputError(f"loss must be 'squared', 'cross_entropy' or a function of outputs and targets, found {loss!r}")


def _difference(outputs: Tensor, targets: Tensor) -> Float[Tensor, "n k"]:
    if outputs.shape != targets.shape:
        raise InputError(
            f"outputs {list(outputs.shape)} and targets {list(targets.shape)} differ in shape: give loss=, a function "
            "of outputs and targets that gives residuals [n, k]"
        )
    return (outputs - targets).flatten(1)


class Minibatches(NamedTuple):
    """A model's loss on examples, a minibatch of ``size`` at a time.

    ``model`` gives outputs of inputs; ``parameters``: those that are read and moved, by name.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    loss: BatchLoss
    examples: Pair
    size: int

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: nn.Module, parameters: Mapping[str, nn.Parameter], loss: BatchLoss, examples: Pair
    ) -> Minibatches:
        """With minibatches of about ``TERMS`` terms."""
        inputs, targets = (part[:1] for part in examples)
        size = TERMS // max(1, loss.terms(model(inputs), targets))
        return cls(model, parameters, loss, examples, max(1, min(size, len(examples[0]))))

    @torch.no_grad()
    def mean(self, examples: Pair | None = None) -> float:
        """The loss over all examples, or over others, in their order."""
        inputs, targets = self.examples if examples is None else examples
        total, terms = 0.0, 0
        for first in range(0, len(inputs), self.size):
            x, y = inputs[first : first + self.size], targets[first : first + self.size]
            outputs = self.model(x)
            total += float(self.loss.total(outputs, y))
            terms += self.loss.terms(outputs, y)
        return total / terms

    def gradients(self, count: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
        """Gradients of the mean loss of ``count`` minibatches, drawn without replacement as long as there are some."""
        for x, y in self._drawn(count, self.size, generator):
            outputs = self.model(x)
            yield self._gradients(self.loss.total(outputs, y) / self.loss.terms(outputs, y))

    def probes(self, count: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
        """Random gradients g of ``count`` minibatches: the mean of g g' is the curvature of the mean loss."""
        for x, y in self._drawn(count, self.size, generator):
            outputs = self.model(x)
            yield self._gradients(self.loss.probe(outputs, y, generator) / math.sqrt(self.loss.terms(outputs, y)))

    def _drawn(self, count: int, size: int, generator: torch.Generator) -> Iterator[Pair]:
        inputs, targets = self.examples
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(count):
            if len(order) < size:
                order = torch.randperm(len(inputs), generator=generator)
            chosen, order = order[:size].to(inputs.device), order[size:]
            yield inputs[chosen], targets[chosen]

    def _gradients(self, number: Tensor) -> list[Tensor]:
        parameters = list(self.parameters.values())
        found = torch.autograd.grad(number, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
