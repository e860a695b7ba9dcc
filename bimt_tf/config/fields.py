"""Config fields by name, and their values as words on a command line spell them. No torch at import."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from bimt_tf.config.settings import GeometryConfig, TrainingConfig
from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.registry import task as find_task

__all__ = ["SECTIONS", "find_field", "is_list", "parse", "sections"]

SECTIONS = ("data", "model", "geometry", "training")


def sections(task: str) -> dict[str, type]:
    """Config section -> its dataclass for this task."""
    found = find_task(task)
    return dict(zip(SECTIONS, (found.Options, found.Model, GeometryConfig, TrainingConfig), strict=True))


def find_field(task: str, name: str) -> tuple[str, str]:
    """(section, field) of a field's name, which may say the section too: ``lr`` or ``training.lr``.

    Raises:
        InputError: for a name that no section of this task has (lists the near ones), or that several have.
    """
    full = [f"{section}.{f.name}" for section, cls in sections(task).items() for f in dataclasses.fields(cls)]
    matching = [one for one in full if name.replace("-", "_") in (one, one.split(".")[1])]
    if not matching:
        raise unknown(f"config field of {task}", name, full if "." in name else [one.split(".")[1] for one in full])
    if len(matching) > 1:
        raise InputError(f"{task} has several fields {name!r}: say which of {', '.join(matching)}")
    section, field = matching[0].split(".")
    return section, field


def is_list(task: str, section: str, field: str) -> bool:
    """Whether a value of this field holds commas of its own: sizes, names, shapes."""
    return typing.get_origin(_kind(task, section, field)) in (tuple, dict) and field != "lam"


def parse(task: str, section: str, field: str, text: str) -> Any:
    """A field's value from its spelling, for the config to judge; a word that does not parse stays a word.

    Raises:
        InputError: for a list of numbers that are none, or shapes that are no pairs.
    """
    kind = _kind(task, section, field)
    flag = f"--{field.replace('_', '-')}"
    if field == "lam":  # the config reads its spellings
        return text
    if typing.get_origin(kind) is tuple:
        entry = typing.get_args(kind)[0]
        try:
            return [entry(part) for part in text.split(",") if part]
        except ValueError as error:
            raise InputError(f"{flag} takes numbers such as 20,20, found {text!r}") from error
    if typing.get_origin(kind) is dict:
        if any("=" not in part for part in text.split(",")):
            raise InputError(f"{flag} takes POPULATION=SHAPE pairs such as output=ring, found {text!r}")
        return dict(part.split("=", 1) for part in text.split(","))
    for number in (int, float):
        if kind is number:
            try:
                return number(text)
            except ValueError:
                return text
    return text


def _kind(task: str, section: str, field: str) -> Any:
    """The field's annotation, without its ``| None``."""
    kind = typing.get_type_hints(sections(task)[section])[field]
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        (kind,) = [a for a in typing.get_args(kind) if a is not type(None)]
    return kind
