"""What a sweep is: one task over a grid of config fields, methods and seeds; and how its axes are spelled.

No torch at import.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bimt_tf.config.fields import SECTIONS, find_field, is_list, is_schedule, parse
from bimt_tf.config.reading import make
from bimt_tf.config.schedules import Schedule
from bimt_tf.config.settings import Config
from bimt_tf.config.values import spelled
from bimt_tf.errors import InputError
from bimt_tf.sweeps.lambda_search import Target

__all__ = ["Axis", "Cell", "Sweep", "parse_axis", "parse_seeds", "spelled_schedule"]


class Axis(NamedTuple):
    """A config field and the values it takes."""

    section: str
    field: str
    values: tuple[Any, ...]


class Cell(NamedTuple):
    """What the runs of one point of the grid share: all but the seed."""

    method: str
    point: tuple[Any, ...]


@dataclass(frozen=True)
class Sweep:
    """What is swept. ``options`` are config values of all runs, by section."""

    task: str
    preset: str | None = None
    options: Mapping[str, Mapping[str, Any]] | None = None
    axes: tuple[Axis, ...] = ()
    methods: tuple[str, ...] = ("bimt",)
    seeds: tuple[int, ...] = (0,)
    target: Target | None = None

    def __post_init__(self) -> None:
        swept = [(axis.section, axis.field) for axis in self.axes]
        for section, field in swept:
            if swept.count((section, field)) > 1:
                raise InputError(f"{section}.{field} is swept twice")
            if field in (self.options or {}).get(section, {}):
                raise InputError(f"{section}.{field} is both swept and given as an option")

    @property
    def cells(self) -> list[Cell]:
        """The points of the grid, methods first."""
        grid = itertools.product(*(axis.values for axis in self.axes))
        return [Cell(method, point) for point in grid for method in self.methods]

    def config(self, cell: Cell, seed: int) -> Config:
        """The config of one run, its lambda as written."""
        overrides = {section: dict((self.options or {}).get(section, {})) for section in SECTIONS}
        for axis, value in zip(self.axes, cell.point, strict=True):
            overrides[axis.section][axis.field] = value
        return make(self.task, self.preset, cell.method, seed, overrides)

    def described(self) -> dict[str, Any]:
        """The content of sweep.yaml."""
        options = {
            f"{section}.{field}": value
            for section, values in (self.options or {}).items()
            for field, value in values.items()
        }
        swept = {f"{axis.section}.{axis.field}": list(axis.values) for axis in self.axes}
        found: dict[str, Any] = {
            "task": self.task,
            "preset": self.config(self.cells[0], self.seeds[0]).preset,
            "methods": list(self.methods),
            "seeds": list(self.seeds),
            "options": options,
            "set": swept,
        }
        return found if self.target is None else {**found, "lam_for": self.target._asdict()}


MOST_SEEDS = 10_000


def parse_axis(task: str, text: str) -> Axis:
    """An axis such as ``lr=1e-3,2e-3``, ``geometry.width=0,1`` or ``hidden=20,20;10,10``.

    Values are separated by semicolons if there is one, or if the field takes lists; by commas otherwise.

    Raises:
        InputError: for another form, an unknown field (lists the near ones), or a value that is bad or stands twice.
    """
    name, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise InputError(f"--set takes FIELD=VALUES such as lr=1e-3,2e-3, found {text!r}")
    section, field = find_field(task, name.strip())
    whole = is_list(task, section, field) or (is_schedule(task, section, field) and ":" in values)
    parts = [part.strip() for part in values.split(";" if whole or ";" in values else ",")]
    if "" in parts:
        raise InputError(f"--set {field} has an empty item in its list, found {text!r}")
    read = [parse(task, section, field, part) for part in parts]
    if field == "lam":
        read = [_schedule(value) for value in read]
    for value in read:
        if read.count(value) > 1:
            raise InputError(f"--set {field} lists {spelled(value)} twice")
    return Axis(section, field, tuple(read))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds such as ``0-4`` or ``0,3,10-12``, each once; raises InputError for another form, or a range that falls."""
    seeds: list[int] = []
    for part in text.split(","):
        if not (match := re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)):
            raise InputError(f"--seeds takes numbers and ranges such as 0-4 or 0,3,7, found {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"--seeds {part.strip()} ends before it begins")
        if last - first >= MOST_SEEDS:
            raise InputError(f"--seeds takes at most {MOST_SEEDS:,} seeds, found {part.strip()}")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def spelled_schedule(schedule: Schedule) -> str:
    """A lambda schedule as a word: ``0.001``, or ``0:0.001,0.5:0.01`` for one of several steps."""
    if isinstance(schedule, str):
        return schedule
    return (
        ",".join(f"{start:g}:{lam:g}" for start, lam in schedule)
        if len(schedule) > 1 or schedule[0][0]
        else f"{schedule[0][1]:g}"
    )


def _schedule(value: Any) -> Any:
    """A lambda as an axis has it: a number where it is constant, otherwise a word."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, (list, tuple)):
        constant = len(value) == 1 and value[0][0] == 0
        return value[0][1] if constant else spelled_schedule(tuple(value))
    return value
