"""Tasks of one's own: ``my_task.py:TASK`` from a file, ``package.module:TASK`` from an installed package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.base import Task

__all__ = ["absolute_name", "is_own", "load_object", "load_own", "require_task", "short_name"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes part of a run directory's name


def is_own(name: str) -> bool:
    """Whether this names a task in a file or module, not one by its own name."""
    return ":" in name or name.endswith(".py")


def absolute_name(name: str) -> str:
    """``name`` with the path of its file made absolute; a module's name stays.

    Raises:
        InputError: for a path that cannot be one.
    """
    place, attribute = _parts(name)
    try:
        return f"{Path(place).expanduser().resolve()}:{attribute}" if place.endswith(".py") else name
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the task's file {place[:60]!r} cannot be read: {error.args[-1]}") from error


def short_name(name: str) -> str:
    """``name`` without the folder of its file, for tables."""
    place, attribute = _parts(name)
    return f"{Path(place).name}:{attribute}" if is_own(name) and place.endswith(".py") else name


def load_own(name: str) -> Task:
    """The task that ``my_task.py:TASK`` or ``package.module:TASK`` names; a file is run once in a process.

    Raises:
        InputError: in one line, if the file or module is missing or does not run, holds no such name, or if what it
            holds is no :class:`Task`.
    """
    name = absolute_name(name)
    return require_task(load_object(name), f"{_parts(name)[1]} in {_parts(name)[0]}")


def load_object(name: str, kind: type = Task) -> Any:
    """What ``PLACE:NAME`` holds, a file being run once in a process.

    Args:
        name: ``file.py:NAME`` or ``package.module:NAME``.
        kind: what is looked for; messages name what else there is of it. What is found is not checked.

    Raises:
        InputError: in one line, if the file or module is missing or does not run, or holds no such name.
    """
    place, attribute = _parts(name)
    what = kind.__name__.lower()
    module = _from_file(place, what) if place.endswith(".py") else _from_package(place, what)
    there = [own for own, value in vars(module).items() if isinstance(value, kind)]
    if not attribute:
        example = f"{place}:{there[0] if there else what.upper()}"
        raise InputError(f"say which {what} of {place}, e.g. {example} (it holds {', '.join(there) or 'none'})")
    if not hasattr(module, attribute):
        raise unknown(f"{what} in {place}", attribute, there)
    return getattr(module, attribute)


def require_task(found: Any, what: str) -> Task:
    """``found`` if it is a task that can be trained.

    Raises:
        InputError: if it is none, has no presets, or a name that cannot be part of a folder's.
    """
    if not isinstance(found, Task):
        a = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        raise InputError(f"{what} is {a}; an instance of a subclass of bimt_tf.tasks.base.Task is needed")
    if not isinstance(found.name, str) or not NAME.fullmatch(found.name):
        raise InputError(f"{what} has the name {found.name!r}; letters, digits, '.', '_' and '-' would do")
    if not found.presets or not isinstance(found.presets, Mapping):
        raise InputError(f"{what} has no preset; presets={{'best': {{}}}} would do")
    for field in ("Options", "Model"):
        if not (isinstance(getattr(found, field), type) and is_dataclass(getattr(found, field))):
            raise InputError(f"{what} has the {field} {getattr(found, field)!r}; a dataclass of settings is needed")
    return found


def _parts(name: str) -> tuple[str, str]:
    """The file or module, and the name in it; a drive's colon is part of the path."""
    place, colon, attribute = name.rpartition(":")
    return (place, attribute) if colon and not attribute.endswith(".py") else (name, "")


@cache
def _from_file(path: str, what: str) -> ModuleType:
    try:
        found = Path(path).is_file()
    except (OSError, ValueError) as error:  # too long a name, or one with a NUL
        raise InputError(f"the {what}'s file {path[:60]!r} cannot be read: {error.args[-1]}") from error
    if not found:
        raise InputError(f"the {what}'s file {path} is not there")
    name = f"bimt_tf_own_task_{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    if (folder := str(Path(path).parent)) not in sys.path:
        sys.path.append(folder)  # for files that it imports from beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"the {what}'s file {path} does not run: {_reason(error, path)}") from error
    return module


def _from_package(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        hint = f"; install its package, or give a file such as my_{what}.py:{what.upper()}"
        hint = hint if isinstance(error, ModuleNotFoundError) else ""
        raise InputError(f"the {what}'s module {name!r} cannot be imported: {_reason(error, name)}{hint}") from error


def _reason(error: BaseException, path: str) -> str:
    """Kind, words and line of an error in a user's file, in one line."""
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        line = next(
            (one.lineno for one in traceback.extract_tb(error.__traceback__)[::-1] if one.filename == path), None
        )
    return f"{type(error).__name__}: {' '.join(words.split())}" + (f" (line {line})" if line else "")
