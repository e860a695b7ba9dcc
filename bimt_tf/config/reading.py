"""Configs from presets, overrides and YAML files, and back. No torch at import."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bimt_tf.config.fields import SECTIONS, kinds, sections
from bimt_tf.config.settings import BUDGETS, Config
from bimt_tf.config.values import checked
from bimt_tf.config.yaml_files import read_yaml, yaml_text
from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.registry import full_name
from bimt_tf.tasks.registry import task as find_task

__all__ = ["dump", "load", "make", "overlaid"]

RENAMED: Mapping[str, Mapping[str, str]] = {"geometry": {"unlocal": "distance_free"}}
"""Config section -> name of version 0.1 -> today's."""


def make(
    task: str,
    preset: str | None = None,
    method: str = "bimt",
    seed: int = 0,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """A complete config: the task's preset, then ``overrides`` by section (``{"training": {"steps": 100}}``).

    ``task`` is a name as ``bimt tasks`` lists them, ``my_task.py:TASK`` or ``package.module:TASK``.

    Raises:
        InputError: for an unknown task, preset, method, section or key (naming the near ones), a value of another
            type, or one out of range.
    """
    task = full_name(checked(str, task, "task"))
    found = find_task(task)
    preset = next(iter(found.presets)) if preset is None else checked(str, preset, "preset")
    if preset not in found.presets:
        raise unknown(f"preset of {found.name}", preset, found.presets)
    overrides = overrides or {}
    for section in (*found.presets[preset], *overrides):
        if section not in SECTIONS:
            raise unknown("config section", str(section), SECTIONS)
    built = {}
    for section, cls in sections(task).items():
        given = overrides.get(section) or {}
        if not isinstance(given, Mapping):
            raise InputError(f"config section {section!r} must hold keys and values, found {given!r}")
        built[section] = _build(cls, overlaid(found.presets[preset].get(section, {}), given), section)
    return Config(
        task=task, preset=preset, method=checked(str, method, "method"), seed=checked(int, seed, "seed"), **built
    )


def overlaid(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A section's values with those that are given over them; a budget that is given replaces any other one."""
    if any(given.get(name) is not None for name in BUDGETS):
        base = {name: value for name, value in base.items() if name not in BUDGETS}
    return {**base, **given}


def load(path: Path) -> Config:
    """Read a YAML config; what it does not say comes from its preset. Files of version 0.1 are read as well.

    Raises:
        InputError: if it cannot be read, is not YAML, or says something :func:`make` refuses; the file is named.
    """
    read = read_yaml(path, "config")
    if not isinstance(read, dict) or "task" not in read:
        found = repr(read)
        raise InputError(f"config {path} must be a YAML mapping with a 'task', found {found[:60]}")
    try:
        return _made_of(read)
    except InputError as error:
        raise InputError(f"config {path}: {error}") from error


def _made_of(read: Mapping[Any, Any]) -> Config:
    for name in read:
        if name not in (field.name for field in dataclasses.fields(Config)):
            raise unknown("config key", str(name), [field.name for field in dataclasses.fields(Config)])
    heads = {name: value for name, value in read.items() if name not in SECTIONS}
    given = {name: _today(name, value) for name, value in read.items() if name in SECTIONS}
    return make(**heads, overrides=given)


def dump(config: Config) -> str:
    """The config as YAML, complete: :func:`load` gives an equal one."""
    return yaml_text(dataclasses.asdict(config))


def _today(section: str, values: Any) -> Any:
    """A section's values under today's names."""
    old = RENAMED.get(section, {})
    return {old.get(key, key): value for key, value in values.items()} if isinstance(values, dict) else values


def _build(cls: type, values: Mapping[str, Any], section: str) -> Any:
    known = kinds(cls)
    for key in values:
        if key not in known:
            raise unknown(f"key in {section}", str(key), known)
    return cls(**{key: checked(known[key], value, f"{section}.{key}") for key, value in values.items()})
