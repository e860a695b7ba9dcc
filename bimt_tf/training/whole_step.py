"""A whole step as one compiled graph: loss, gradient, Adam, penalty and frozen zeros, of the weights as one vector.

Step by step it is what adam.py does eagerly, to rounding. As one graph nothing is written to memory and read again
between its parts: under Adam, which reads every weight anyway, the penalty is nearly free, and for a small network
the half of the time that goes into calling one operation after the other is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from bimt_tf.training.flat import FlatParameters

__all__ = ["PenaltyKind", "WholeStep"]

PenaltyKind = Literal["none", "gradient", "proximal"]
"""How the penalty acts: not at all, by its gradient, or by a soft threshold behind Adam."""

LossFn = Callable[[Tensor, Tensor], Tensor]


class WholeStep:
    """A compiled step on the parameters of ``model``, which ``flat`` holds as one vector.

    Args:
        model: whose outputs the loss is of.
        loss: from outputs and targets to a scalar.
        flat: the vector that is trained.
        penalty: how the penalty acts.
    """

    def __init__(self, model: nn.Module, loss: LossFn, flat: FlatParameters, penalty: PenaltyKind) -> None:
        self._vector, self._weights = flat.vector, flat.vector.detach()
        self._ones = torch.ones_like(self._weights)  # where nothing is frozen
        self._proximal = penalty == "proximal"
        self._scalars = torch.zeros(9, dtype=self._weights.dtype)
        self._step = torch.compile(_step_of(model, loss, flat, penalty), fullgraph=True, dynamic=False)

    def __call__(
        self,
        batch: tuple[Tensor, Tensor],
        optimizer: torch.optim.Optimizer,
        owed: Float[Tensor, " entries"] | None,
        lam: float,
        kept: Float[Tensor, " entries"] | None,
    ) -> float:
        """Take a step in place and give the loss of the weights before it; at a loss not finite no weight changes.

        Args:
            batch: inputs and targets.
            optimizer: an AdamW of the vector alone; its settings are read anew at each step, its moments updated.
            owed: the derivative of the connection cost by each |entry|; None if there is none.
            lam: the penalty's weight, 0 without one.
            kept: 1 where an entry is free and 0 where it is frozen at zero; None if all are free.
        """
        (group,) = optimizer.param_groups
        moments = optimizer.state[self._vector]
        if not moments:
            zeros = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
            moments.update(step=torch.zeros(()), exp_avg=zeros[0], exp_avg_sq=zeros[1])
        moments["step"] += 1
        (beta1, beta2), taken, lr = group["betas"], moments["step"].item(), group["lr"]
        rate, root = lr / (1 - beta1**taken), (1 - beta2**taken) ** 0.5
        decayed, push = 1 - lr * group["weight_decay"], lam * lr if self._proximal else lam
        self._scalars.numpy()[:] = lr, rate, root, decayed, push, 1 - beta1, beta2, 1 - beta2, group["eps"]
        frozen = self._ones if kept is None else kept
        pays = self._ones if owed is None else owed
        return self._run(batch, self._weights, moments, pays, frozen)

    def try_(self, batch: tuple[Tensor, Tensor]) -> None:
        """Compile, with a step on copies that are thrown away; raises whatever torch.compile does."""
        moments = {name: torch.zeros_like(self._weights) for name in ("exp_avg", "exp_avg_sq")}
        self._run(batch, self._weights.clone(), moments, self._ones.clone(), self._ones)

    @torch.no_grad()
    def _run(
        self, batch: tuple[Tensor, Tensor], weights: Tensor, moments: dict[str, Tensor], pays: Tensor, kept: Tensor
    ) -> float:
        first, second, scalars = moments["exp_avg"], moments["exp_avg_sq"], self._scalars.to(weights.device)
        loss: Tensor = self._step(weights, first, second, pays, kept, scalars, *batch)
        return loss.item()


def _step_of(
    model: nn.Module, loss: LossFn, flat: FlatParameters, penalty: PenaltyKind
) -> Callable[..., Float[Tensor, ""]]:
    """The step as a function of tensors alone, which it changes in place."""
    path_of = {p: path for path, p in model.named_parameters()}
    paths = [path_of[p] for p in flat.named.values()]
    split = flat.split

    def loss_of(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        outputs: Tensor = functional_call(model, dict(zip(paths, split(weights), strict=True)), (inputs,))
        return loss(outputs, targets)

    def step(
        weights: Tensor, first: Tensor, second: Tensor, pays: Tensor, kept: Tensor, scalars: Tensor,
        inputs: Tensor, targets: Tensor,
    ) -> Tensor:  # fmt: skip
        lr, rate, root, decayed, push, of_new, beta2, of_square, eps = scalars.unbind()
        gradient, value = grad_and_value(loss_of)(weights, inputs, targets)
        if penalty == "gradient":
            gradient = gradient + push * pays * weights.sign()
        mean = first + of_new * (gradient - first)
        square = beta2 * second + of_square * gradient * gradient
        speed = 1 / (square.sqrt() / root + eps)
        new = decayed * weights - rate * mean * speed
        if penalty == "proximal":
            threshold = torch.minimum(push * pays * speed, lr)
            new = new - torch.minimum(torch.maximum(new, -threshold), threshold)
        weights.copy_(torch.where(value.isfinite(), new * kept, weights))
        first.copy_(mean)
        second.copy_(square)
        return value

    return step
