"""Configs from presets, options and YAML files, and back."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from bimt_tf.config.settings import Config, GeometryConfig, Schedule, TrainingConfig, parse_schedule
from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.registry import task as find_task

__all__ = ["dump", "load", "make", "sentences"]


def make(
    task: str,
    preset: str | None = None,
    method: str = "bimt",
    seed: int = 0,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """A complete config: the task's preset, then ``overrides`` by section (``{"training": {"steps": 100}}``).

    Raises:
        InputError: for an unknown task, preset, method, section or key (naming the near ones), a value of another
            type, or one out of range.
    """
    found = find_task(task)
    preset = preset if preset is not None else next(iter(found.presets))
    if preset not in found.presets:
        raise unknown(f"preset of {task}", str(preset), found.presets)
    sections = {"data": found.Options, "model": found.Model, "geometry": GeometryConfig, "training": TrainingConfig}
    overrides = overrides or {}
    for section in overrides:
        if section not in sections:
            raise unknown("config section", str(section), sections)
    built = {}
    for section, cls in sections.items():
        given = overrides.get(section) or {}
        if not isinstance(given, Mapping):
            raise InputError(f"config section {section!r} must hold keys and values, found {given!r}")
        built[section] = _build(cls, {**found.presets[preset].get(section, {}), **given}, section)
    return Config(
        task=task,
        preset=preset,
        method=cast(Any, method),  # Config checks it
        seed=_fit(seed, int, "seed"),
        **built,
    )


def load(path: Path) -> Config:
    """Read a YAML config; what it does not say comes from its preset.

    Raises:
        InputError: if it cannot be read, is not YAML, or says something :func:`make` refuses.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"config {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict) or "task" not in read:
        raise InputError(f"config {path} must be a YAML mapping with a 'task', found {_short(read)}")
    heads = {name: read.pop(name) for name in ("task", "preset", "method", "seed") if name in read}
    for name in read:
        if name not in ("data", "model", "geometry", "training"):
            raise unknown("config key", str(name), [f.name for f in dataclasses.fields(Config)])
    if isinstance(where := read.get("geometry"), dict) and "unlocal" in where:  # its name in version 0.1
        where["distance_free"] = where.pop("unlocal")
    for name in ("task", "preset", "method"):
        if name in heads:
            heads[name] = _fit(heads[name], str, name)
    return make(**heads, overrides=read)


def dump(config: Config) -> str:
    """The config as YAML, complete: :func:`load` gives an equal one."""
    text: str = yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)
    return text


@functools.cache
def sentences(cls: type) -> dict[str, str]:
    """Field -> the sentence that stands under it in the class body, or in that of a class it inherits from."""
    found: dict[str, str] = {}
    for base in reversed([c for c in cls.__mro__ if dataclasses.is_dataclass(c)]):
        found |= _own_sentences(base)
    return found


def _own_sentences(cls: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            found[before.target.id] = " ".join(ast.literal_eval(after.value).split())
    return found


def _build(cls: type, values: Mapping[str, Any], section: str) -> Any:
    types_of = typing.get_type_hints(cls)
    for key in values:
        if key not in types_of:
            raise unknown(f"key in {section}", str(key), types_of)
    return cls(**{key: _fit(value, types_of[key], f"{section}.{key}") for key, value in values.items()})


def _fit(value: Any, kind: Any, where: str) -> Any:
    """``value`` as ``kind``, or InputError; whole numbers pass for floats, lists for tuples, nothing else is bent."""
    if kind == Schedule and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = ((0.0, value),)
    if kind == Schedule and isinstance(value, str):
        value = parse_schedule(value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise unknown(where, str(value), arguments)
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (kind,) = [a for a in arguments if a is not type(None)]
        return _fit(value, kind, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        if arguments[-1] is Ellipsis:
            return tuple(_fit(v, arguments[0], where) for v in value)
        if len(arguments) == len(value):
            return tuple(_fit(v, a, where) for v, a in zip(value, arguments, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {_fit(k, arguments[0], where): _fit(v, arguments[1], where) for k, v in value.items()}
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif kind is float and isinstance(value, str) and _is_number(value):  # YAML 1.1 reads 1e-3 as text
        return float(value)
    elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    name = getattr(kind, "__name__", str(kind)) if origin is None else str(kind).replace("typing.", "")
    raise InputError(f"{where} must be of type {name}, found {_short(value)}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
