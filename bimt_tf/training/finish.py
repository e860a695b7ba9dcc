"""The finish phase: small weights are cut, the zeros frozen, lambda is finish_lam (0) and Adam's rate falls to 0."""

from __future__ import annotations

from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.training.adam import adam_step_
from bimt_tf.training.phase import After
from bimt_tf.training.schedule import finish_step, fresh_steps, lam_at, lr_at, polish_step
from bimt_tf.training.state import State

__all__ = ["Finish", "cut_"]


def cut_(state: State) -> None:
    """Cut what is below ``cut``, freeze the zeros, and place the neurons as the pressed phase leaves them."""
    if METHODS[state.config.method].penalised:
        weights = state.flat.vector.data
        state.kept = (state.penalty.sizes() > state.config.training.cut).to(weights.dtype)
        weights.mul_(state.kept)
    state.swap_last()


class Finish:
    """The last of Adam's steps."""

    resumable = True

    def span(self, config: Config) -> range:
        """The steps from the pressed phase to the polish."""
        return range(finish_step(config), polish_step(config))

    def enter(self, state: State) -> None:
        """Cut and freeze; Adam's running means begin anew if fresh_moments says so."""
        cut_(state)
        if finish_step(state.config) in fresh_steps(state.config):
            state.forget_moments()

    def run(self, state: State, after: After) -> bool:
        """Adam's steps on a half cosine, and behind the last one a search for the layout."""
        config, end = state.config, self.span(state.config).stop
        for step in range(state.step, end):
            loss = adam_step_(state, lam_at(config, step), lr_at(config, step))
            if step + 1 == end:
                state.swap_last()
            if after(loss):
                return False
        return True
