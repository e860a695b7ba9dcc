"""One step of Adam under the penalty, which the pressed and the finish phase share.

With the weights w as one vector:

    g = gradient of the task's loss        (+ lambda * coefficient * sign(w), if the penalty acts by its gradient)
    w = Adam(w, g); w = soft threshold of w, if the penalty is proximal; frozen zeros stay 0
"""

from __future__ import annotations

from bimt_tf.training.finite import require_finite
from bimt_tf.training.schedule import decay_at
from bimt_tf.training.state import State

__all__ = ["adam_step_"]


def adam_step_(state: State, lam: float, lr: float) -> float:
    """Take one step on the next batch and give its loss, of the weights before the step.

    Raises:
        NonFiniteLoss: before any weight is changed.
    """
    loss = state.batch_loss(*state.batches.draw())
    value = loss.item()
    require_finite(state.step, "the training loss", value)
    state.gradient_(loss)
    if lam:
        state.penalty.before_step_(lam)
    state.optimizer.param_groups[0].update(lr=lr, weight_decay=decay_at(state.config, state.step))
    state.optimizer.step()
    if lam:
        state.penalty.after_step_(lam, state.optimizer)
    if state.kept is not None:
        state.flat.vector.data.mul_(state.kept)
    return value
