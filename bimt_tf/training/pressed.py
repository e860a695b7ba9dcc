"""The pressed phase: Adam under the penalty, and a swap every S steps (paper, Section 2)."""

from __future__ import annotations

from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.training.adam import adam_step_
from bimt_tf.training.phase import After
from bimt_tf.training.schedule import (
    bias_step,
    finish_step,
    fresh_steps,
    lam_at,
    lr_at,
    swap_steps,
    width_at,
)  # fmt: skip
from bimt_tf.training.state import State

__all__ = ["Pressed"]


class Pressed:
    """From the first step to the finish phase."""

    resumable = True

    def span(self, config: Config) -> range:
        """The steps before the finish phase; none for a method that has a phase of its own."""
        return range(finish_step(config) if METHODS[config.method].leaves is None else 0)

    def enter(self, state: State) -> None:
        """Nothing: training begins with the weights and the layout that the state has."""

    def run(self, state: State, after: After) -> bool:
        """Adam's steps under the penalty, on their schedules; neurons move after each of ``swap_steps``."""
        config, end = state.config, self.span(state.config).stop
        swaps, fresh, width = swap_steps(config), fresh_steps(config), width_at(config, state.step)
        biases_pay_from = bias_step(config)
        for step in range(state.step, end):
            if step in fresh:
                state.forget_moments()
            if step == biases_pay_from or width != width_at(config, step):
                width = width_at(config, step)
                state.penalty.follow(step)
            loss = adam_step_(state, lam_at(config, step), lr_at(config, step))
            if step + 1 == config.training.steps:  # nothing comes behind that would place the neurons
                state.swap_last()
            elif step + 1 in swaps:
                state.swap()
            if after(loss):
                return False
        return True
