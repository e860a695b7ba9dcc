"""Where something is: a line with a path, which is a link to the file on terminals that have links."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

__all__ = ["print_place"]


def print_place(name: str, path: Path, more: str = "") -> None:
    """``name: path more`` on a line of its own; in a file or a pipe as plain text."""
    link = Style(link=path.absolute().as_uri())
    line = Text.assemble(f"{name}: ", (str(path), link), f" {more}" if more else "")
    Console(highlight=False, markup=False).print(line, soft_wrap=True)
