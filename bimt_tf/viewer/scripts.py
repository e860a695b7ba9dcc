"""The page's scripts, joined into one: d3, which the package mpld3 ships, and the modules in ``assets/js``.

A page that opens from a file may not load modules, so they are joined here: each in a function of its own, which gives
what it exports, behind those that it imports. So a name at the top of one module is not seen in another, as in a
browser. Imports stand on one line, exports are ``export function``, ``class`` or ``const``.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from bimt_tf.errors import InputError

__all__ = ["d3", "script"]

IMPORT = re.compile(r'^import (?:\{([^}]*)\}|\* as (\w+)) from "\./([\w/]+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:const|function\*?|class) (\w+))", re.MULTILINE)
FIRST = "main"


@cache
def d3() -> str:
    """The source of d3, version 5, as the package mpld3 holds it; the package itself is not imported.

    Raises:
        InputError: if there is no mpld3, or this version of it has none.
    """
    package = find_spec("mpld3")
    for folder in (package.submodule_search_locations or []) if package else []:
        if found := sorted(Path(folder, "js").glob("d3.v5*.js")):
            return found[0].read_text(encoding="utf-8")
    raise InputError("there is no d3 of version 5, which the package mpld3 holds: pip install 'mpld3>=0.5.10,<0.6'")


@cache
def script() -> str:
    """The page's own modules, joined, in one function of their own."""
    joined: dict[str, str] = {}
    _join(FIRST, joined, ())
    return "(() => {\n'use strict';\n" + "\n".join(joined.values()) + "\n})();\n"


def _join(name: str, joined: dict[str, str], importers: tuple[str, ...]) -> None:
    """Add a module behind those that it imports.

    Raises:
        ValueError: if it imports itself, through others.
    """
    if name in importers:
        raise ValueError(f"modules import each other in a circle: {' -> '.join((*importers, name))}")
    folder = files("bimt_tf.viewer").joinpath("assets").joinpath("js")
    source = folder.joinpath(f"{name}.js").read_text(encoding="utf-8")
    for found in IMPORT.finditer(source):
        if found[3] not in joined:
            _join(found[3], joined, (*importers, name))
    exported = ", ".join(found[2] for found in EXPORT.finditer(source))
    body = EXPORT.sub(r"\1", IMPORT.sub(_taken, source))
    joined[name] = f"const {_variable(name)} = (() => {{\n{body}return {{ {exported} }};\n}})();"


def _taken(found: re.Match[str]) -> str:
    """What stands for an import line where modules are joined."""
    names = found[2] or f"{{{found[1].replace(' as ', ': ')}}}"
    return f"const {names} = {_variable(found[3])};"


def _variable(name: str) -> str:
    """The variable that holds what a module exports."""
    return f"module_{name.replace('/', '_')}"
