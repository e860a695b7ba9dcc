"""Arguments and options that several commands take, each said once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token, convert

from bimt_tf.config.methods import METHODS
from bimt_tf.errors import InputError

__all__ = [
    "HELP_GROUPS", "AsJson", "At", "Device", "Directory", "Hook", "Loggers", "Method", "NoFigures", "Out", "Overwrite",
    "Preset", "REPEATED", "Seed", "at_of", "value_shown",
    "words_of",
]  # fmt: skip

HELP_GROUPS = {
    name: Group(name, sort_key=row)
    for row, name in enumerate(
        ("Sweep", "Task", "Model", "Penalty and geometry", "Optimizer", "Elimination", "Output and machine", "Other")
    )
}
"""The groups in which a command's help shows its options, in this order."""

_SHOWS_VALUES = "metavar" in inspect.signature(Parameter).parameters  # cyclopts 5, which needs Python 3.11

_TASK, _PENALTY, _OUTPUT = HELP_GROUPS["Task"], HELP_GROUPS["Penalty and geometry"], HELP_GROUPS["Output and machine"]


def _converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """The value of an option's words, as cyclopts converts them, but for two kinds.

    cyclopts rounds 1.5 to a whole number, and takes an empty word for the path of the current folder.
    """
    for token in tokens:
        if kind is int and not re.fullmatch(r"[+-]?[0-9]+", token.value):
            raise ValueError(f'unable to convert "{token.value}" into int.')
        if kind is Path and not token.value:
            raise ValueError("a path is needed, found an empty word")
    return convert(kind, tokens)


def value_shown(words: str | None) -> dict[str, Any]:
    """The keyword of a Parameter whose value help shows as these words, where this cyclopts has it."""
    return {"metavar": words} if _SHOWS_VALUES else {}


REPEATED = Parameter(allow_repeating=True, converter=_converted)
"""For whole apps: of an option given twice the last counts, as on most command lines."""

Directory = Annotated[Path, Parameter(help="a run directory")]
AsJson = Annotated[
    bool, Parameter(name="--json", negative=(), show_default=False, help="print JSON instead of a table")
]
At = Annotated[
    str,
    Parameter(help="point of the run's elimination: shown, end, trained, or a number: that of at most so many weights"),
]
Device = Annotated[str, Parameter(help="where to compute: cpu, cuda, cuda:1, mps")]
Hook = Annotated[str | None, Parameter(help="where to look, a hook's name [what the task's own probe looks at]")]

Preset = Annotated[str | None, Parameter(group=_TASK, help="settings to start from, one of the task's [the first]")]
Seed = Annotated[int | None, Parameter(group=_TASK, help="of weights, data and batches [0]")]
Method = Annotated[str | None, Parameter(group=_PENALTY, help=f"{', '.join(METHODS)} [bimt]")]
Out = Annotated[Path | None, Parameter(group=_OUTPUT, help="run directory [runs/TASK-METHOD-seedN]")]
Overwrite = Annotated[bool, Parameter(group=_OUTPUT, negative=(), show_default=False, help="replace the run in --out")]
Loggers = Annotated[
    list[str] | None,
    Parameter(name="--log", group=_OUTPUT, negative=(), help="also log to tensorboard or wandb (repeatable)"),
]

NoFigures = Annotated[
    bool,
    Parameter(group=_OUTPUT, negative=(), show_default=False, help="write neither figures nor report.html"),
]


def at_of(text: str) -> Any:
    """``--at`` as ``load_run`` takes it: a number of weights as a number."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else text


def words_of(text: str, option: str) -> tuple[str, ...]:
    """The words of a list such as ``l1,bimt``, each once; none of an empty text.

    Raises:
        InputError: for an empty item.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if "" in words:
        raise InputError(f"{option} has an empty item in its list, found {text!r}")
    return tuple(dict.fromkeys(words))
