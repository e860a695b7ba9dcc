"""Magnitude pruning with rewinding, in the place of the pressed phase (method magnitude).

Frankle and Carbin, "The lottery ticket hypothesis" (2019), with the rewinding to an early step of Frankle et al. (2020)
and Renda, Frankle and Carbin, "Comparing rewinding and fine-tuning" (2020). With R = ``rounds`` and P steps before the
finish phase, the P steps are cut into R + 1 equal trainings. At the end of each of the first R

1. the smallest |w| of all weights that are left are pruned, over all connections at once, the same share each time, so
   that ``density`` of all weights is left after the last;
2. the others, and all biases, go back to their values after ``rewind`` of the first training, and Adam begins anew.

The last training goes on into the finish phase, where zeros stay zero. Every step counts: a run has as many as any
other method's. Where this differs: the rate is constant in each training and falls in the finish alone (there each
training has the whole schedule), and biases are not pruned, for they do not count as weights.
"""

from __future__ import annotations

import torch

from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.training.adam import adam_step_
from bimt_tf.training.phase import After
from bimt_tf.training.schedule import finish_step, fresh_steps, lr_at
from bimt_tf.training.state import State

__all__ = ["Magnitude", "prunings", "rewind_step"]


def prunings(config: Config) -> dict[int, float]:
    """Steps taken when weights are pruned -> share of all weights that is left then."""
    training, steps = config.training, finish_step(config)
    return {
        max(round(steps * i / (training.rounds + 1)), 1): training.density ** (i / training.rounds)
        for i in range(1, training.rounds + 1)
    }


def rewind_step(config: Config) -> int:
    """Steps taken when the weights stand that pruning goes back to: before the first pruning."""
    first = finish_step(config) / (config.training.rounds + 1)
    return min(int(config.training.rewind * first), min(prunings(config)) - 1)


class Magnitude:
    """From the first step to the finish phase, for the method magnitude."""

    resumable = True

    def span(self, config: Config) -> range:
        """The steps before the finish phase; none for other methods."""
        return range(finish_step(config) if METHODS[config.method].leaves == "magnitude" else 0)

    def enter(self, state: State) -> None:
        """Nothing: training begins with the weights that the state has."""

    def run(self, state: State, after: After) -> bool:
        """Adam's steps, with prunings and rewindings among them."""
        config, ends, early = state.config, prunings(state.config), rewind_step(state.config)
        fresh = fresh_steps(config)
        for step in range(state.step, self.span(config).stop):
            if step in fresh:
                state.forget_moments()
            if step == early:
                state.early = state.flat.vector.detach().clone()
            loss = adam_step_(state, 0.0, lr_at(config, step))
            if step + 1 in ends:
                prune_(state, ends[step + 1])
            if after(loss):
                return False
        return True


def prune_(state: State, density: float) -> None:
    """Freeze all but the largest ``density`` of all weights at zero; the others go back, and Adam begins anew."""
    assert state.early is not None
    weights, counted = state.flat.vector.data, state.is_weight()
    count = max(round(density * int(counted.sum())), 1)
    sizes = torch.where(counted, weights.abs(), -1.0)  # what was pruned is 0, and is chosen last of all
    kept = (~counted).to(weights.dtype)
    kept[sizes.topk(count).indices] = 1.0
    state.kept = kept
    weights.copy_(state.early * kept)
    state.forget_moments()
