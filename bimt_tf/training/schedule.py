"""What changes over a run: lambda, rates, decay, width and swaps, and where the finish phase and the polish begin.

The schedules of a config (config/schedules.py) are over the steps before the finish phase. All follow from the step
alone, so that a resumed run has the values of one that was never stopped. They are asked at each step, so a plain
number is given as it is: to look up a schedule takes a microsecond or two, of a step of some hundred.
"""

from __future__ import annotations

import math

from bimt_tf.config.methods import METHODS
from bimt_tf.config.schedules import curve
from bimt_tf.config.settings import Config

__all__ = [
    "bias_step", "decay_at", "final_width", "finish_step", "fresh_steps", "lam_at", "lr_at", "polish_step",
    "swap_steps", "width_at",
]  # fmt: skip

WIDTHS = 300
"""How many widths a run goes through where points are joined: a new width costs as much as some steps."""


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


def fresh_steps(config: Config) -> frozenset[int]:
    """The steps (0-based) before which Adam's running means begin anew."""
    return frozenset(round(finish_step(config) * share) for share in config.training.fresh_moments)


def lam_at(config: Config, step: int) -> float:
    """Lambda at a step: its schedule before the finish phase, finish_lam in it; 0 after it and without a penalty."""
    pressed = finish_step(config)
    if not METHODS[config.method].penalised or step >= polish_step(config):
        return 0.0
    return curve(config.training.lam).at(step, pressed) if step < pressed else config.training.finish_lam


def lr_at(config: Config, step: int) -> float:
    """The learning rate at a step: its schedule, in the finish phase a half cosine from finish_lr to 0, 0 after it."""
    begin, end = finish_step(config), polish_step(config)
    if step >= end:
        return 0.0
    if step < begin:
        lr = config.training.lr
        return lr if isinstance(lr, (int, float)) else curve(lr).at(step, begin)
    return config.training.finish_lr * 0.5 * (1 + math.cos(math.pi * (step - begin) / (end - begin)))


def decay_at(config: Config, step: int) -> float:
    """AdamW's decay at a step: its schedule, which ends with what holds in the finish phase."""
    decay = config.training.weight_decay
    return decay if isinstance(decay, (int, float)) else curve(decay).at(step, finish_step(config))


def width_at(config: Config, step: int) -> float:
    """The width A at a step: its schedule, which ends with the width of the finished run.

    Where points are joined by lines it goes in WIDTHS equal times, and holds in between.
    """
    if isinstance(config.geometry.width, (int, float)):
        return config.geometry.width
    width, pressed = curve(config.geometry.width), finish_step(config)
    if width.join == "steps" or step >= pressed:
        return width.at(step, pressed)
    return width.between(step * WIDTHS // pressed / WIDTHS)


def final_width(config: Config) -> float:
    """The width A of the finished run, by which neurons are placed."""
    return curve(config.geometry.width).last


def swap_steps(config: Config) -> frozenset[int]:
    """After how many steps neurons move in the pressed phase; from a swap to the next is the period at its step."""
    period, pressed, found, step = curve(config.training.swap_every), finish_step(config), set[int](), 0
    while METHODS[config.method].swaps and (step := step + max(1, round(period.at(step, pressed)))) <= pressed:
        found.add(step)
    return frozenset(found)
