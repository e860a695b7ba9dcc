"""The fields of a task's config: their names, annotations, sentences and defaults, read off the dataclasses."""

from __future__ import annotations

import dataclasses
import typing
from functools import cache
from typing import Any, NamedTuple

import docstring_parser

from bimt_tf.config import values
from bimt_tf.config.schedules import SCHEDULED
from bimt_tf.config.settings import EliminationConfig, GeometryConfig, TrainingConfig
from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.registry import task as find_task

__all__ = [
    "SECTIONS", "ConfigField", "config_fields", "find_field", "is_list", "is_schedule", "kinds", "parse", "sections",
    "sentences",
]  # fmt: skip

GROUPS = {
    "data": "Task", "model": "Model", "geometry": "Penalty and geometry", "training": "Optimizer",
    "elimination": "Elimination",
}  # fmt: skip
"""Config section -> the group of a command's help where its fields are shown, unless a field's metadata says."""

SECTIONS = tuple(GROUPS)


class ConfigField(NamedTuple):
    """One field of a config; ``default`` is that of its dataclass."""

    section: str
    name: str
    kind: Any
    default: Any
    sentence: str
    group: str


def sections(task: str) -> dict[str, type]:
    """Config section -> its dataclass for this task."""
    found = find_task(task)
    classes = (found.Options, found.Model, GeometryConfig, TrainingConfig, EliminationConfig)
    return dict(zip(SECTIONS, classes, strict=True))


def config_fields(task: str) -> list[ConfigField]:
    """All fields of this task's config, in their order."""
    return [
        ConfigField(
            section,
            field.name,
            kinds(cls)[field.name],
            field.default_factory() if callable(field.default_factory) else field.default,
            sentences(cls).get(field.name, ""),
            field.metadata.get("group", GROUPS[section]),
        )
        for section, cls in sections(task).items()
        for field in dataclasses.fields(cls)
    ]


@cache
def kinds(cls: type) -> dict[str, Any]:
    """Field -> its annotation."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@cache
def sentences(cls: type) -> dict[str, str]:
    """Field -> the sentence that stands under it in the class body, or in that of a class it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            for one in docstring_parser.parse_from_object(base).params:
                found[one.arg_name] = " ".join((one.description or "").split())
    return found


def find_field(task: str, name: str) -> tuple[str, str]:
    """(section, field) of a field's name, which may say the section too: ``lr`` or ``training.lr``.

    Raises:
        InputError: for a name that no section of this task has (lists the near ones), or that several have.
    """
    full = [f"{field.section}.{field.name}" for field in config_fields(task)]
    matching = [one for one in full if name.replace("-", "_") in (one, one.split(".")[1])]
    if not matching:
        raise unknown(f"config field of {task}", name, full if "." in name else [one.split(".")[1] for one in full])
    if len(matching) > 1:
        raise InputError(f"{task} has several fields {name!r}: say which of {', '.join(matching)}")
    section, field = matching[0].split(".")
    return section, field


def is_list(task: str, section: str, field: str) -> bool:
    """Whether a value of this field holds commas of its own: sizes, names, shapes."""
    return values.is_list(kinds(sections(task)[section])[field])


def is_schedule(task: str, section: str, field: str) -> bool:
    """Whether this field takes a schedule, whose spelling holds commas too."""
    return kinds(sections(task)[section])[field] in SCHEDULED


def parse(task: str, section: str, field: str, text: str) -> Any:
    """A field's value from its spelling on a command line.

    Raises:
        InputError: for a word that does not spell a value of this field.
    """
    return values.read_word(kinds(sections(task)[section])[field], text, f"{section}.{field}")
