"""What changes over a run: lambda, the learning rate, and where the finish phase and the polish begin."""

from __future__ import annotations

import math

from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config

__all__ = ["bias_step", "finish_step", "lam_at", "lr_at", "polish_step"]


def polish_step(config: Config) -> int:
    """The step (0-based) at which Adam ends and the polish begins; ``steps`` if there is none."""
    return config.training.steps - round(config.training.steps * config.training.polish)


def finish_step(config: Config) -> int:
    """The step (0-based) at which the finish phase begins; where Adam ends if there is none."""
    end = polish_step(config)
    return end - round(end * config.training.finish)


def bias_step(config: Config) -> int:
    """The step (0-based) from which biases pay; 0 unless ``bias_free`` is given."""
    return round(finish_step(config) * config.training.bias_free)


def lam_at(config: Config, step: int) -> float:
    """Lambda at a step: piecewise constant before the finish phase, 0 in it and without a penalty."""
    pressed = finish_step(config)
    if step >= pressed or not METHODS[config.method].penalised:
        return 0.0
    return [lam for start, lam in config.training.lam if step >= start * pressed][-1]


def lr_at(config: Config, step: int) -> float:
    """The learning rate at a step: constant, in the finish phase a half cosine from finish_lr to 0, and 0 after it."""
    begin, end = finish_step(config), polish_step(config)
    if step >= end:
        return 0.0
    if step < begin:
        return config.training.lr
    return config.training.finish_lr * 0.5 * (1 + math.cos(math.pi * (step - begin) / (end - begin)))
