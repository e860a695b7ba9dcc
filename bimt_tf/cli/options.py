"""Options of the command line that are config fields: one for every field of any task, with the field's sentence."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from typing import Any

import click

from bimt_tf.config import reading, settings
from bimt_tf.config.fields import SECTIONS, parse
from bimt_tf.config.fields import sections as sections_of
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import TASKS

__all__ = ["config_options", "overrides_of"]


def _kind(annotation: Any) -> Any:
    """The click type of a config field; what click does not know is text that the config parses."""
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return click.Choice([str(a) for a in arguments])
    plain = arguments[0] if len(arguments) == 1 else annotation
    return {int: click.INT, float: click.FLOAT}.get(plain, click.STRING)


def config_options(command: click.Command, tasks: Iterable[str] = tuple(TASKS)) -> click.Command:
    """Give a command one option for every config field of any of these tasks, with the field's own sentence.

    The default is shown where all tasks have the same.
    """
    options: dict[str, click.Option] = {}
    defaults: dict[str, set[Any]] = {}
    for task in tasks:
        for cls in sections_of(task).values():
            hints = typing.get_type_hints(cls)
            for field in dataclasses.fields(cls):
                flag, text = f"--{field.name.replace('_', '-')}", reading.sentences(cls)[field.name]
                options.setdefault(field.name, click.Option([flag], type=_kind(hints[field.name]), help=text))
                defaults.setdefault(field.name, set()).add(field.default)
    for name, option in options.items():
        default = defaults[name].pop()
        if not defaults[name] and default not in (dataclasses.MISSING, None, ()):
            option.help = f"{option.help} [{settings.spell(default) if name == 'lam' else default}]"
    command.params.extend(options.values())
    return command


def overrides_of(task: str, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Options by config section; raises InputError for one this task does not have."""
    home = {field.name: section for section, cls in sections_of(task).items() for field in dataclasses.fields(cls)}
    overrides: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, value in given.items():
        if value is None:
            continue
        if name not in home:
            raise InputError(f"{task} has no option --{name.replace('_', '-')}")
        section = home[name]
        overrides[section][name] = parse(task, section, name, value) if isinstance(value, str) else value
    return overrides
