"""Which factor on the whole lambda schedule gives a wanted number of active weights, or a wanted test loss.

Active weights fall with lambda and the loss rises with it, on the whole: single runs are noisy. The factor is first
bracketed, in steps of four from 1, then bisected in its logarithm. What is tried next follows from what was tried, so
a search goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from bimt_tf.config import schedules
from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError, require_positive, unknown

__all__ = ["Found", "Tried", "Target", "average", "next_factor", "parse_target", "scaled", "judge"]

QUANTITIES = {"active": "active_weights", "loss": "test_loss"}  # of a target -> key of summary.json
STRIDE = 4.0  # between factors while bracketing
FARTHEST = STRIDE**5  # a factor beyond this, or below its inverse, is not tried
CLOSE = 1.02  # two factors so close differ by noise
TINY = 1e-300


class Target(NamedTuple):
    """What a run should give; ``tolerance`` is the relative distance that will do."""

    quantity: Literal["active", "loss"]
    value: float
    tolerance: float
    tries: int


class Tried(NamedTuple):
    """A factor and what its runs gave on average; None if they failed."""

    factor: float
    value: float | None


class Found(NamedTuple):
    """The factor that came nearest (None if every run failed), what it gives, and whether that will do."""

    factor: float | None
    value: float | None
    reached: bool
    text: str


def parse_target(text: str, tolerance: float, tries: int) -> Target:
    """A target such as ``active=300`` or ``loss=1e-4``.

    Raises:
        InputError: for another quantity, or a number, tolerance or count of tries that is not above 0.
    """
    quantity, _, number = text.partition("=")
    if quantity not in QUANTITIES:
        raise unknown("target of --lam-for", quantity, QUANTITIES)
    try:
        value = float(number)
    except ValueError as error:
        raise InputError(f"--lam-for takes a number such as active=300 or loss=1e-4, found {text!r}") from error
    require_positive(f"--lam-for {quantity}", value)
    require_positive("--tolerance", tolerance)
    require_positive("--tries", tries)
    return Target(quantity, value, tolerance, tries)  # type: ignore[arg-type]  # looked up above


def scaled(config: Config, factor: float) -> Config:
    """The config with its whole lambda schedule times ``factor``; InputError if it has no penalty to scale."""
    if not METHODS[config.method].penalised or not any(schedules.curve(config.training.lam).values):
        raise InputError(f"--lam-for needs a penalty: method {config.method!r} of {config.task} has none")
    lam = schedules.scaled(config.training.lam, factor)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, lam=lam))


def average(target: Target, summaries: Sequence[dict[str, Any]]) -> float | None:
    """What runs that differ in their seed give: the mean of active weights, the geometric mean of losses."""
    values = [float(summary[QUANTITIES[target.quantity]]) for summary in summaries]
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return None
    if target.quantity == "loss":
        return math.exp(statistics.fmean(math.log(max(value, TINY)) for value in values))
    return statistics.fmean(values)


def next_factor(target: Target, tried: Sequence[Tried]) -> float | None:
    """The factor to try next; None when one will do, none is left to try, or runs failed."""
    if not tried:
        return 1.0
    if len(tried) >= target.tries or any(one.value is None for one in tried) or _reached(target, _best(target, tried)):
        return None
    ordered = sorted(tried)
    brackets = [
        (upper.factor / lower.factor, lower.factor)
        for lower, upper in zip(ordered, ordered[1:], strict=False)
        if _wants_more(target, lower) and not _wants_more(target, upper)
    ]
    if brackets:
        ratio, lower_factor = min(brackets)
        return lower_factor * math.sqrt(ratio) if ratio > CLOSE else None
    upwards = _wants_more(target, ordered[-1])
    factor = ordered[-1].factor * STRIDE if upwards else ordered[0].factor / STRIDE
    return factor if 1 / FARTHEST <= factor <= FARTHEST else None


def judge(target: Target, tried: Sequence[Tried]) -> Found:
    """What the search found, in a sentence."""
    wanted = f"{target.quantity} = {target.value:g}"
    failed = [one.factor for one in tried if one.value is None]
    if len(failed) == len(tried):
        return Found(None, None, False, f"{wanted}: the runs failed")
    best = _best(target, tried)
    gives = f"lambda x {best.factor:.4g} gives {target.quantity} = {best.value:.4g}"
    if _reached(target, best):
        return Found(best.factor, best.value, True, f"{wanted}: {gives}")
    if failed:
        why = f"the runs at lambda x {failed[0]:.4g} failed"
    elif len({_wants_more(target, one) for one in tried}) == 1:
        least, most = min(tried).factor, max(tried).factor
        why = f"it could not be bracketed between lambda x {least:.4g} and x {most:.4g}"
    else:
        why = f"none of {len(tried)} factors came within {target.tolerance:.0%}"
    return Found(best.factor, best.value, False, f"{wanted} not reached, {why}; the best: {gives}")


def _best(target: Target, tried: Sequence[Tried]) -> Tried:
    return min((one for one in tried if one.value is not None), key=lambda one: _distance(target, one))


def _distance(target: Target, one: Tried) -> float:
    assert one.value is not None
    return abs(math.log(max(one.value, TINY) / target.value))


def _reached(target: Target, one: Tried) -> bool:
    assert one.value is not None
    return abs(one.value / target.value - 1) <= target.tolerance


def _wants_more(target: Target, one: Tried) -> bool:
    """Whether lambda must grow for the target."""
    assert one.value is not None
    return one.value > target.value if target.quantity == "active" else one.value < target.value
