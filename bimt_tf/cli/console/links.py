"""Paths that a terminal opens at a click (OSC 8), and what a terminal can write."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.text import Text

__all__ = ["linked", "print_path", "writes"]


def linked(path: Path) -> Text:
    """A path as text with a link to it; rich leaves the link out where the output is no terminal."""
    return Text(str(path), style=f"link {path.absolute().as_uri()}")


def print_path(what: str, path: Path, more: str = "", console: Console | None = None) -> None:
    """A line such as ``figure: runs/a/figures/network.png``, whose path is a link on a terminal; never broken."""
    line = Text(f"{what} ").append_text(linked(path)).append(f" {more}" if more else "")
    (console or Console(highlight=False, markup=False)).print(line, soft_wrap=True)


def writes(console: Console, text: str) -> bool:
    """Whether a console's output can show these characters: its encoding has them, and its locale is not "C".

    Python writes UTF-8 under the locale "C" too, which a terminal that was set to it need not understand.
    """
    if (os.environ.get("LC_ALL") or os.environ.get("LANG") or "") in ("C", "POSIX"):
        return text.isascii()
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
