"""One value of a config: judged by its field's annotation (pydantic), read from a word, and spelled as one."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from bimt_tf.config.schedules import SCHEDULED, Pairs, Schedule, VaryingSteps, curve, parse_schedule, spell_schedule
from bimt_tf.errors import InputError, unknown

__all__ = ["checked", "is_list", "read_word", "spelled", "without_none"]

LARGEST = {int: 2.0**63, float: 3e38}  # what torch's whole numbers, and those of float32, end below


def checked(kind: Any, value: Any, where: str) -> Any:
    """``value`` if it is of this annotation, ``where`` being its name in the error.

    Lists become tuples, whole numbers pass for floats, and a schedule may be spelled; nothing else is converted:
    ``True`` is no whole number and ``"10"`` no number.

    Raises:
        InputError: for a value of another type, or a name that is not among the choices (lists the near ones).
    """
    if kind in SCHEDULED:
        return _checked_schedule(kind, value, where)
    return _validated(kind, _with_tuples(value), where, strict=True)


def read_word(kind: Any, word: str, where: str) -> Any:
    """A value from a word of the command line: ``20,20`` for lists, ``output=ring`` for mappings, else the value.

    Raises:
        InputError: for a word that does not spell such a value, an empty item of a list included.
    """
    if kind in SCHEDULED:
        return _checked_schedule(kind, word, where, strict=False)
    kind = without_none(kind)
    if not is_list(kind):
        return _validated(kind, word, where, strict=False)
    parts = [part.strip() for part in word.split(",")] if word.strip() else []
    if "" in parts:
        raise InputError(f"{where} has an empty item in its list, found {word!r}")
    if typing.get_origin(kind) is not dict:
        return _validated(kind, parts, where, strict=False)
    pairs = [part.partition("=") for part in parts]
    if not all(name and equals and value for name, equals, value in pairs):
        raise InputError(f"{where} takes NAME=VALUE pairs such as output=ring, found {word!r}")
    names = [name for name, _, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where} names {name!r} twice, found {word!r}")
    return _validated(kind, {name: value for name, _, value in pairs}, where, strict=False)


def spelled(value: Any) -> str:
    """A value as :func:`read_word` reads it."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return spell_schedule(value)
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def is_list(kind: Any) -> bool:
    """Whether values of this annotation hold several items: sizes, names, shapes. A schedule is one value."""
    return kind not in SCHEDULED and typing.get_origin(without_none(kind)) in (tuple, list, dict)


def without_none(kind: Any) -> Any:
    """An annotation without its ``| None``."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        arguments = [argument for argument in typing.get_args(kind) if argument is not type(None)]
        return arguments[0] if len(arguments) == 1 else kind
    return kind


def _checked_schedule(kind: Any, value: Any, where: str, *, strict: bool = True) -> Any:
    """A value of one of SCHEDULED, from a word if it is one: a number, pairs (lambda) or a spelling."""
    if kind == Schedule:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = ((0.0, value),)
        if not isinstance(value, str):
            return _validated(Pairs, _with_tuples(value), where, strict=True)
    elif not isinstance(value, str) or ":" not in value:
        return _validated(int if kind == VaryingSteps else float, value, where, strict=strict)
    found = parse_schedule(value, where)
    _validated(Pairs, curve(found).points, where, strict=True)  # no number too large
    return found if kind == Schedule else spell_schedule(found)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _validated(kind: Any, value: Any, where: str, *, strict: bool) -> Any:
    try:
        found = _adapter(kind).validate_python(value, strict=strict)
    except PydanticSchemaGenerationError as error:
        raise InputError(f"{where} is annotated {kind}, which a config cannot hold") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "literal_error":
            raise unknown(where, str(first["input"]), _choices(kind)) from None
        if first["type"] in ("missing", "too_long"):
            much = "few" if first["type"] == "missing" else "many"
            raise InputError(f"{where} has too {much} items, found {_short(first['input'])}") from None
        expected = first["msg"].removeprefix("Input should be ").split(", ")[0]
        raise InputError(f"{where} must be {expected}, found {_short(first['input'])}") from None
    for number in _numbers(found):
        if abs(number) >= LARGEST[type(number)] and number not in (math.inf, -math.inf):  # which fields refuse
            limit = "2**63" if isinstance(number, int) else "3e38"
            raise InputError(f"{where} must be below {limit}, found {_short(number)}")
    return found


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value, however deep."""
    if isinstance(value, (tuple, list)):
        for one in value:
            yield from _numbers(one)
    elif type(value) in LARGEST:
        yield value


def _choices(kind: Any) -> list[str]:
    """All names of the Literals in an annotation."""
    if typing.get_origin(kind) is Literal:
        return [str(name) for name in typing.get_args(kind)]
    return [name for argument in typing.get_args(kind) for name in _choices(argument)]


def _with_tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_with_tuples(one) for one in value)
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
