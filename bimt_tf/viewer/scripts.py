"""The page's scripts, joined into one: d3, which the package mpld3 ships, and the modules in ``assets/js``.

A page that opens from a file may not load modules, so they are joined here: each after those that it imports, their
import lines and ``export`` words removed. Imports stand on one line; no name stands at the top of two modules.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from bimt_tf.errors import InputError

__all__ = ["d3", "script"]

IMPORT = re.compile(r'^import (?:\{[^}]*\}|\* as \w+) from "\./([\w/]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|let|function|class|async) )", re.MULTILINE)
FIRST = "main.js"


@cache
def d3() -> str:
    """The source of d3, version 5, as the package mpld3 holds it.

    Raises:
        InputError: if this version of mpld3 has none.
    """
    for path in sorted(files("mpld3").joinpath("js").iterdir(), key=lambda path: path.name):
        if path.name.startswith("d3.v5"):
            return path.read_text(encoding="utf-8")
    raise InputError("the package mpld3 holds no d3 of version 5: pip install 'mpld3>=0.5.10,<0.6'")


@cache
def script() -> str:
    """The page's own modules, joined, in one function of their own."""
    joined: dict[str, str] = {}
    _join(FIRST, joined)
    return "(() => {\n'use strict';\n" + "\n".join(joined.values()) + "\n})();\n"


def _join(name: str, joined: dict[str, str]) -> None:
    """Add a module behind those that it imports."""
    source = files("bimt_tf.viewer").joinpath("assets").joinpath("js").joinpath(name).read_text(encoding="utf-8")
    joined[name] = ""  # a circle ends here
    for other in IMPORT.findall(source):
        if other not in joined:
            _join(other, joined)
    del joined[name]
    joined[name] = EXPORT.sub("", IMPORT.sub("", source))
