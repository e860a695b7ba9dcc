"""Commands that take a TASK: its name is read first, then its options are made of the fields of its config."""

from __future__ import annotations

import inspect
import typing
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Parameter

from bimt_tf.cli.arguments import HELP_GROUPS, REPEATED, value_shown
from bimt_tf.config.fields import SECTIONS, ConfigField, config_fields
from bimt_tf.config.schedules import SCHEDULED, Schedule
from bimt_tf.config.values import is_list, read_word, spelled, without_none
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import TASKS, task, variant

__all__ = ["Overrides", "task_command"]

Overrides = dict[str, dict[str, Any]]
"""Config section -> field -> value: what was given of the task's options."""

Run = Callable[..., object]
"""What a command does: called with ``task``, ``overrides``, and its own options by keyword."""

SHAPED = {tuple: "ITEM,ITEM", list: "ITEM,ITEM", dict: "NAME=VALUE,NAME=VALUE"}


def task_command(name: str, run: Run, *, only: str | None = None) -> App:
    """The command ``bimt NAME TASK``, or ``bimt NAME`` for the task ``only``. The docstring of ``run`` is its help."""
    about = inspect.cleandoc(run.__doc__ or "")
    hint = "\n\nOptions follow the task: see bimt NAME TASK --help.".replace("NAME", name)
    tasks = "\n".join(f"- {one.name}: {one.summary}" for one in TASKS.values())
    app = App(
        name=name, help=about.split("\n\n")[0] + hint, usage=f"Usage: bimt {name} TASK [OPTIONS]\n", help_flags=[],
        version_flags=[], help_epilogue=f"Tasks, or one of your own as my_task.py:TASK:\n\n{tasks}",
        result_action="return_value", suppress_keyboard_interrupt=False, default_parameter=REPEATED,
    )  # fmt: skip

    def command(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        help: Annotated[bool, Parameter(name=["--help", "-h"], show=False, negative=())] = False,
        model: Annotated[str | None, Parameter(show=False)] = None,
    ) -> object:
        first, rest = (only, words) if only else (words[0] if words else "", words[1:])
        if not first and help:
            app.help_print([])
            return None
        if not first or first.startswith("-"):
            raise InputError(f"bimt {name} takes a task first, as in 'bimt {name} in-context'; 'bimt tasks' lists them")
        if only and model is not None:  # a field of this task
            rest = (*rest, "--model", model)
        elif model is not None:
            first = variant(first, model)
        inner = _with_options(first, run, f"bimt {name}" if only else f"bimt {name} {task(first).name}")
        return inner([*rest, *(["--help"] if help else [])], exit_on_error=False, print_error=False)

    app.default(command)
    return app


def _with_options(name: str, run: Run, shown: str) -> App:
    """The app that reads the options of ``run`` and of a task, and calls ``run``."""
    fields = config_fields(name)
    own = _own_parameters(run)
    flags = _flags(fields, {parameter.name for parameter in own})
    defaults = _defaults(name)
    parameters = [
        inspect.Parameter(
            flag, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(field, flag, defaults)
        )
        for flag, field in flags.items()
    ]

    def command(**given: Any) -> object:
        overrides: Overrides = {section: {} for section in SECTIONS}
        for flag, field in flags.items():
            value = given.pop(flag, None)
            if value is not None:
                dashed = f"--{flag.replace('_', '-')}"
                spelling = isinstance(value, str) and _is_spelled(field.kind)
                overrides[field.section][field.name] = read_word(field.kind, value, dashed) if spelling else value
        return run(task=name, overrides=overrides, **given)

    command.__signature__ = inspect.Signature([*own, *parameters])  # type: ignore[attr-defined]  # cyclopts reads it
    command.__doc__ = f"{inspect.cleandoc(run.__doc__ or '')}\n\nTask: {task(name).summary}."
    app = App(
        name=shown, help_flags=["--help", "-h"], version_flags=[], group_commands=HELP_GROUPS["Other"],
        result_action="return_value", suppress_keyboard_interrupt=False, default_parameter=REPEATED,
    )  # fmt: skip
    app.default(command)
    return app


def _own_parameters(run: Run) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(run, include_extras=True)
    return [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(run).parameters.values()
        if parameter.name not in ("task", "overrides")
    ]


def _flags(fields: list[ConfigField], taken: set[str]) -> dict[str, ConfigField]:
    """Option -> its field; a name that two sections have, or the command itself, gets its section before it."""
    count = Counter(field.name for field in fields)
    return {
        field.name if count[field.name] == 1 and field.name not in taken else f"{field.section}_{field.name}": field
        for field in fields
    }


def _defaults(name: str) -> dict[tuple[str, str], Any]:
    """(section, field) -> value of the task's first preset."""
    preset = next(iter(task(name).presets.values()))
    return {(section, field): value for section, values in preset.items() for field, value in values.items()}


def _annotation(field: ConfigField, flag: str, defaults: dict[tuple[str, str], Any]) -> Any:
    default = defaults.get((field.section, field.name), field.default)
    shown = "" if default is None or default is inspect.Parameter.empty else spelled(default)
    parameter = Parameter(
        help=field.sentence + (f" [{shown}]" if shown else ""),
        group=HELP_GROUPS.get(field.group, HELP_GROUPS["Other"]),
        **value_shown(_metavar(field.kind)),
        negative=() if without_none(field.kind) is not bool else None,
        show_default=False,
        allow_leading_hyphen=True,
    )
    kind = str if _is_spelled(field.kind) else without_none(field.kind)
    return Annotated[kind | None, parameter]


def _is_spelled(kind: Any) -> bool:
    """Whether a word spells several values; other kinds are converted by cyclopts."""
    return kind in SCHEDULED or is_list(kind)


def _metavar(kind: Any) -> str | None:
    if kind == Schedule:
        return "LAMBDA|START:LAMBDA,..."
    if kind in SCHEDULED:
        return "NUMBER|SCHEDULE"
    return SHAPED.get(typing.get_origin(without_none(kind)))
