"""The polish that may end a run: L-BFGS on all training examples at once, the zeros frozen.

It is no loop of steps that stand alone but one search: stopped, it begins again where Adam ended.

A sparse network is a small, badly scaled problem without noise: Adam with a falling rate stops far above its minimum,
and a quasi-Newton method goes on from there (docs/results.md has what it gives). What it minimises is

    loss(w) + pull * |w - w0|^2        w0: the weights before

for without a pull it goes down the flattest valleys to weights so uneven that no module is left to be seen. The method
is SciPy's L-BFGS-B, which works in float64; what it gains ends at the rounding of the weights' own number type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.config.settings import Config
from bimt_tf.training.finish import cut_
from bimt_tf.training.phase import After
from bimt_tf.training.schedule import finish_step, polish_step
from bimt_tf.training.state import State

__all__ = ["Polish", "minimise_"]

MEMORY = 50  # pairs of steps that stand for the curvature: about as many as a sparse network has weights


class Polish:
    """The steps behind Adam's: one iteration of L-BFGS each."""

    resumable = False

    def span(self, config: Config) -> range:
        """The steps from where Adam ends to the end of the run."""
        return range(polish_step(config), config.training.steps)

    def enter(self, state: State) -> None:
        """Cut and freeze, if no finish phase did."""
        if finish_step(state.config) == polish_step(state.config):
            cut_(state)

    def run(self, state: State, after: After) -> bool:
        """One search, of which a step is an iteration; then one for the layout."""
        vector, training = state.flat.vector, state.config.training
        free = torch.ones_like(vector) if state.kept is None else state.kept

        def loss_and_gradient() -> tuple[float, Tensor]:
            loss = state.training_loss()
            gradient = state.gradient_(loss)
            return loss.item(), gradient

        iterations = len(self.span(state.config))
        if not minimise_(vector, free, loss_and_gradient, training.polish_pull, iterations, after):
            return False
        state.swap_last()
        return True


def minimise_(
    vector: Float[Tensor, " entries"],
    free: Float[Tensor, " entries"],
    loss_and_gradient: Callable[[], tuple[float, Float[Tensor, " entries"]]],
    pull: float,
    iterations: int,
    on_iteration: Callable[[float], bool],
) -> bool:
    """Lower the loss and the pull in the entries of ``vector`` where ``free`` is not 0, in place.

    Args:
        vector: the weights, of any float type and device.
        free: 0 for entries that keep their values.
        loss_and_gradient: the loss of the weights as they are in ``vector``, and its gradient [entries].
        pull: weight of the squared distance from the weights as they are, at least 0.
        iterations: of L-BFGS, at most; it ends earlier where no step gains anything.
        on_iteration: called with the loss after each, the weights in place; stops the search by giving True.

    Returns:
        Whether the search came to its end. Stopped, it leaves the weights as they were before.
    """
    from scipy.optimize import minimize

    where = free.nonzero().squeeze(1)
    start = vector.detach()[where].double().cpu().numpy()
    stopped = False

    def put(values: Any) -> None:
        vector.data[where] = torch.from_numpy(values.copy()).to(vector)

    def evaluate(values: Any) -> tuple[float, Any]:
        put(values)
        loss, gradient = loss_and_gradient()
        moved = values - start
        return loss + pull * moved @ moved, gradient[where].double().cpu().numpy() + 2 * pull * moved

    def after(intermediate_result: Any) -> None:
        nonlocal stopped
        put(intermediate_result.x)
        moved = intermediate_result.x - start
        loss = float(intermediate_result.fun - pull * moved @ moved)
        stopped = on_iteration(loss)
        if stopped:
            raise StopIteration

    options = {"maxiter": iterations, "maxfun": 20 * iterations, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0}
    found = minimize(evaluate, start, jac=True, method="L-BFGS-B", callback=after, options=options)
    put(start if stopped else found.x)  # not what a failed line search tried last
    return not stopped
