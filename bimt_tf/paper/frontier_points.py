"""What a run gives the frontier: its network as it was trained, and after its elimination."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

__all__ = ["STATES", "Point", "State", "Typical", "points_of", "typical"]

State = Literal["trained", "eliminated"]
STATES: tuple[State, ...] = ("trained", "eliminated")
TINY = 1e-300  # in the place of a loss of 0, which has no logarithm


class Point(NamedTuple):
    """One network: held-out loss, active weights, Q (None for one too large for a graph), and seconds it took.

    ``accuracy``: the share of held-out examples that it has right; None where there are no classes.
    """

    loss: float
    weights: int
    modularity: float | None
    seconds: float
    accuracy: float | None = None


class Typical(NamedTuple):
    """Of the networks of several seeds: geometric means of loss and weights, the worst loss, means of the rest."""

    loss: float
    worst: float
    weights: float
    modularity: float | None
    seconds: float
    accuracy: float | None = None


def points_of(summary: Mapping[str, Any]) -> dict[State, Point]:
    """The points of a summary.json: one as trained, and one eliminated if it was."""
    seconds = float(summary["seconds"])
    if "trained" not in summary:
        return {"trained": _point(summary, seconds)}
    more = float(summary["elimination"]["seconds"])
    return {"trained": _point(summary["trained"], seconds), "eliminated": _point(summary, seconds + more)}


def _point(numbers: Mapping[str, Any], seconds: float) -> Point:
    weights, q = numbers["active_weights"], numbers["modularity_shared"]
    return Point(numbers["test_loss"], weights, q, seconds, numbers.get("test_accuracy"))


def typical(points: Sequence[Point]) -> Typical:
    """What stands for the networks of several seeds; at least one."""
    return Typical(
        _geometric([point.loss for point in points]),
        max(point.loss for point in points),
        _geometric([max(point.weights, 1) for point in points]),
        _mean([point.modularity for point in points]),
        statistics.fmean(point.seconds for point in points),
        _mean([point.accuracy for point in points]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """None unless all have one."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if len(there) == len(values) else None


def _geometric(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(max(value, TINY)) for value in values))
