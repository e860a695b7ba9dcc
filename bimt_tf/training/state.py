"""The state of a run: what its phases change. The trainer tells about it, a checkpoint keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from bimt_tf.bimt import BIMT
from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.training.batch_gradient import LossFn, batch_gradient
from bimt_tf.training.batches import Batches
from bimt_tf.training.finite import require_finite_weights
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.penalty import Penalty
from bimt_tf.training.whole_step import WholeStep

__all__ = ["State"]


@dataclass
class State:
    """Model, layout, optimizer, batches and step of a run.

    ``loss`` takes outputs and targets to a scalar; ``kept`` [entries] is 1 where a weight is free and 0 where it is
    frozen at zero, None while nothing is frozen; ``early`` [entries] are the weights that magnitude pruning goes
    back to, None until it has them; ``compiled`` is whether the loss is compiled, None before it is tried;
    ``batch_loss`` (inputs, targets) gives the loss of a batch, and ``whole`` takes a step if it is compiled; both are
    there once :meth:`prepare` was called.
    """

    config: Config
    model: nn.Module
    bimt: BIMT
    flat: FlatParameters
    penalty: Penalty
    optimizer: torch.optim.Optimizer
    batches: Batches
    loss: LossFn
    step: int = 0
    kept: Tensor | None = None
    early: Tensor | None = None
    compiled: bool | None = None
    batch_loss: LossFn = field(init=False)
    whole: WholeStep | None = field(init=False)
    parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = list(self.flat.named.values())

    def prepare(self) -> str:
        """Choose how the loss of a batch is computed, and say so."""
        training = self.config.training
        computed = batch_gradient(
            self.model, self.loss, training.compile, training.steps - self.step, self.batches.specimen(), self.compiled,
            flat=self.flat, penalty=self.penalty.kind,
        )  # fmt: skip
        self.batch_loss, self.whole, self.compiled = computed.loss, computed.whole, computed.whole is not None
        return computed.note

    def training_loss(self) -> Tensor:
        """The loss on all training examples, with a graph behind it."""
        inputs, targets, _ = self.batches.examples
        return self.loss(self.model(inputs), targets)

    def is_weight(self) -> Bool[Tensor, " entries"]:
        """Which entries of the vector are weights of connections: biases, norms and tables are not."""
        named = self.flat.named
        ones = {c.parameter: torch.ones_like(named[c.parameter]) for c in self.bimt.wiring.connections
                if c.parameter in named}  # fmt: skip
        return self.flat.concatenate(ones) > 0

    def gradient_(self, loss: Tensor) -> Tensor:
        """Write the gradient of a loss into that of the vector of parameters, and give it [entries]."""
        self.flat.set_grad_(torch.autograd.grad(loss, self.parameters, allow_unused=True))
        assert self.flat.vector.grad is not None
        return self.flat.vector.grad

    def swap(self, starts: int = 1) -> None:
        """Move neurons by the config's search, which sees the weights that pay; the penalty follows.

        The search begins at so many layouts, drawn by the config's seed; it places by the width that the run ends with.
        """
        training = self.config.training
        require_finite_weights(self.step, self.flat.vector)
        self.bimt.swap(
            training.swap_method, training.top_k, starts=starts, weights=self.penalty.weights(),
            generator=torch.Generator().manual_seed(self.config.seed),
        )  # fmt: skip
        self.penalty.follow(self.step)

    def swap_last(self) -> None:
        """What ends a phase that changes weights: a swap from ``swap_starts`` layouts, if the method swaps at all."""
        if METHODS[self.config.method].swaps:
            self.swap(self.config.training.swap_starts)
        else:
            self.penalty.follow(self.step)

    def forget_moments(self) -> None:
        """Begin Adam's running means anew."""
        self.optimizer.state.pop(self.flat.vector, None)
