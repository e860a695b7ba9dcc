"""The finish phase: small weights are cut, the zeros frozen, lambda is 0 and Adam's rate falls to 0."""

from __future__ import annotations

from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.training.adam import adam_step_
from bimt_tf.training.phase import After
from bimt_tf.training.schedule import finish_step, lr_at, polish_step
from bimt_tf.training.state import State

__all__ = ["Finish", "cut_"]


def cut_(state: State) -> None:
    """Cut what is below ``cut``, freeze the zeros, and place the neurons a last time."""
    method = METHODS[state.config.method]
    if method.penalised:
        weights = state.flat.vector.data
        state.kept = (state.penalty.sizes() > state.config.training.cut).to(weights.dtype)
        weights.mul_(state.kept)
    if method.swaps:
        state.swap()
    else:
        state.penalty.follow(state.step)


class Finish:
    """The last of Adam's steps."""

    resumable = True

    def span(self, config: Config) -> range:
        """The steps from the pressed phase to the polish."""
        return range(finish_step(config), polish_step(config))

    def enter(self, state: State) -> None:
        """Cut and freeze."""
        cut_(state)

    def run(self, state: State, after: After) -> bool:
        """Adam's steps without penalty, on a half cosine."""
        for step in range(state.step, self.span(state.config).stop):
            if after(adam_step_(state, 0.0, lr_at(state.config, step))):
                return False
        return True
