"""One step of Adam under the penalty, which the pressed and the finish phase share.

With the weights w as one vector:

    g = gradient of the task's loss        (+ lambda * coefficient * sign(w), if the penalty acts by its gradient)
    w = Adam(w, g); w = soft threshold of w, if the penalty is proximal; frozen zeros stay 0

A compiled run takes it as one graph (whole_step.py), to rounding the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bimt_tf.training.finite import require_finite
from bimt_tf.training.schedule import decay_at
from bimt_tf.training.state import State

__all__ = ["adam_step_"]


def adam_step_(state: State, lam: float, lr: float) -> float:
    """Take one step on the next batch and give its loss, of the weights before the step.

    Raises:
        NonFiniteLoss: before any weight is changed.
    """
    state.optimizer.param_groups[0].update(lr=lr, weight_decay=decay_at(state.config, state.step))
    batch = state.batches.draw()
    if state.whole is not None:
        value = state.whole(batch, state.optimizer, state.penalty.owed() if lam else None, lam, state.kept)
        require_finite(state.step, "the training loss", value)
    else:
        value = _eager_step_(state, batch, lam)
    if lam:
        state.penalty.settle_()
    return value


def _eager_step_(state: State, batch: tuple[Tensor, Tensor], lam: float) -> float:
    """The step as one operation after the other."""
    loss = state.batch_loss(*batch)
    value = loss.item()
    require_finite(state.step, "the training loss", value)
    state.gradient_(loss)
    if lam:
        state.penalty.before_step_(lam)
    _update_(state.optimizer)
    if lam:
        state.penalty.after_step_(lam, state.optimizer)
    if state.kept is not None:
        state.flat.vector.data.mul_(state.kept)
    return value


def _update_(optimizer: torch.optim.Optimizer) -> None:
    """``optimizer.step()`` of the fused Adam of one vector, on the CPU without what its wrappers take: 15 us of 19."""
    (group,) = optimizer.param_groups
    (vector,) = group["params"]
    moments = optimizer.state.get(vector)
    if not moments or not vector.is_cpu:  # the first step makes the moments
        optimizer.step()
        return
    moments["step"].add_(1)
    beta1, beta2 = group["betas"]
    torch._fused_adamw_(
        [vector.data], [vector.grad], [moments["exp_avg"]], [moments["exp_avg_sq"]], [], [moments["step"]],
        lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
        amsgrad=False, maximize=False,
    )  # fmt: skip
