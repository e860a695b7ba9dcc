"""Settings that change over the pressed phase: how they are spelled, and which value they have at a step.

    0.01                            the same value throughout
    0:0.001,0.5:0.1                 START:VALUE pairs: each value holds from its start to the next one's
    linear:0:0,0.3:0.1,1:0.02       points joined by straight lines; behind the last one its value holds
    log:0:0.04,0.5:0.03,1:5e-4      points joined by straight lines in the logarithm

A start is a share of the steps before the finish phase. Two points at one start are a jump. Where an end of a piece is
0, which has no logarithm, ``log`` holds the value of its beginning up to its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NewType, cast

from bimt_tf.errors import InputError, require_non_negative, require_positive

__all__ = [
    "SCHEDULED", "Curve", "Pairs", "Schedule", "Spelling", "Varying", "VaryingSteps", "curve", "parse_curve",
    "parse_schedule", "require_schedule", "scaled", "spell_schedule",
]  # fmt: skip

Pairs = tuple[tuple[float, float], ...]
"""(start, value) of each point."""

Spelling = NewType("Spelling", str)
"""A schedule as a word, as :func:`spell` writes it."""

Schedule = Pairs | Spelling
"""Lambda's: what is piecewise constant has always been kept as pairs."""

Varying = float | Spelling
"""A number, or a schedule of it."""

VaryingSteps = int | Spelling
"""A number of steps, or a schedule of it."""

SCHEDULED = (Schedule, Varying, VaryingSteps)
"""The annotations of fields that take a schedule."""

Join = Literal["steps", "linear", "log"]
WIDEST = 1e100  # ratio of two values that a logarithm joins
EXPECTED = "START:VALUE pairs such as 0:0.001,0.5:0.1, or points such as linear:0:0.1,1:0 or log:0:0.1,1:0.001"


@dataclass(frozen=True)
class Curve:
    """A schedule: its points, and how they are joined ("steps": each value holds to the next start)."""

    join: Join
    points: Pairs

    def at(self, step: int, steps: int) -> float:
        """The value at a step (0-based) of a phase of ``steps`` steps; behind them the last one."""
        if step >= steps:
            return self.last
        if self.join == "steps":
            return [value for start, value in self.points if step >= start * steps][-1]
        return self.between(step / steps)

    def between(self, share: float) -> float:
        """The value at a share of the phase, of points that are joined by lines."""
        for (start, first), (end, second) in pairwise(self.points):
            if start <= share < end:
                part = (share - start) / (end - start)
                if self.join == "linear":
                    return first + part * (second - first)
                if not first or not second:
                    return first
                return math.exp(math.log(first) + part * math.log(second / first))
        return self.last

    @property
    def last(self) -> float:
        """The value that it ends with."""
        return self.points[-1][1]

    @property
    def values(self) -> tuple[float, ...]:
        """The values of its points."""
        return tuple(value for _, value in self.points)

    @property
    def varies(self) -> bool:
        """Whether it is not the same value throughout."""
        return len(set(self.values)) > 1


@lru_cache(maxsize=256)
def curve(value: float | Schedule) -> Curve:
    """The schedule that a field's value is: a number, pairs or a spelling."""
    if isinstance(value, str):
        return parse_curve(value, "a schedule")
    return Curve("steps", value if isinstance(value, tuple) else ((0.0, float(value)),))


def parse_curve(text: str, name: str) -> Curve:
    """A schedule from its spelling, ``name`` being the field's.

    Raises:
        InputError: for a word that spells none.
    """
    join, colon, rest = text.partition(":")
    if not colon or join not in ("linear", "log"):
        join, rest = "steps", text
    try:
        if join == "steps" and ":" not in rest:
            return Curve("steps", ((0.0, float(rest)),))
        pairs = [part.split(":") for part in rest.split(",")]
        return Curve(cast(Join, join), tuple((float(start), float(value)) for start, value in pairs))
    except ValueError as error:
        raise InputError(f"{name} must be a number, {EXPECTED}, found {text!r}") from error


def parse_schedule(text: str, name: str = "lam") -> Schedule:
    """Lambda's schedule from its spelling: pairs if it is piecewise constant, otherwise a spelling."""
    found = parse_curve(text, name)
    return found.points if found.join == "steps" else spell(found)


def spell(schedule: Curve) -> Spelling:
    """A schedule as :func:`parse_curve` reads it."""
    points = ",".join(f"{_spelled(start)}:{_spelled(value)}" for start, value in schedule.points)
    return Spelling(points if schedule.join == "steps" else f"{schedule.join}:{points}")


def spell_schedule(schedule: float | Schedule) -> Spelling:
    """A field's value as :func:`parse_curve` reads it."""
    return spell(curve(schedule))


def scaled(schedule: Schedule, factor: float) -> Schedule:
    """Lambda's schedule with every value times ``factor``."""
    found = curve(schedule)
    times = tuple((start, value * factor) for start, value in found.points)
    return times if found.join == "steps" else spell(Curve(found.join, times))


def require_schedule(name: str, value: float | Schedule, *, positive: bool = False) -> None:
    """Raise unless a schedule's starts begin at 0 and rise, and no value is negative, or 0 if ``positive``.

    Raises:
        InputError: names the field and what was found.
    """
    require = require_positive if positive else require_non_negative
    if isinstance(value, (int, float)):
        require(name, value)
        return
    if not isinstance(value, str) and not _are_pairs(value):
        raise InputError(f"{name} must be a number, {EXPECTED}, found {value!r}")
    found = parse_curve(value, name) if isinstance(value, str) else Curve("steps", value)
    starts = [start for start, _ in found.points]
    if found.join == "steps":
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or not all(0 <= s < 1 for s in starts):
            raise InputError(f"{name} must start at 0 and its starts must rise below 1, found {spell(found)}")
    elif starts[0] != 0 or any(starts.count(s) > 2 for s in starts) or not _rise(starts):
        expected = "must start at 0 and its starts must rise to 1 at most, no three of them the same"
        raise InputError(f"{name} {expected}, found {spell(found)}")
    sizes = [each for _, each in found.points if each]
    if found.join == "log" and sizes and min(sizes) < max(sizes) / WIDEST:
        raise InputError(f"{name} joins values that differ by more than {WIDEST:g} times, found {spell(found)}")
    for start, each in found.points:
        require(f"{name} from {start:g} on" if found.join == "steps" else f"{name} at {start:g}", each)


def _are_pairs(value: object) -> bool:
    """Whether a value is (start, value) pairs of numbers."""
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in pair)
        for pair in value
    )


def _rise(starts: list[float]) -> bool:
    return all(0 <= a <= b <= 1 for a, b in pairwise([*starts, 1.0]))


def _spelled(number: float) -> str:
    short = f"{number:.12g}"
    return short if float(short) == number else repr(number)
