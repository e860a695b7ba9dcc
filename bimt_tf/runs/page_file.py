"""A run's page as a file: ``report.html`` in its directory. No torch at import.

It is written when a run is measured and drawn (conclude.py), and by ``bimt report``; ``bimt view`` opens it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.directory import OWNED

if TYPE_CHECKING:
    from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["PAGE", "is_current", "page_text", "write_page"]

PAGE = "report.html"

NOT_SHOWN = (PAGE, "figures", "huggingface", "tensorboard", "wandb")
"""What a run's directory holds and its page does not tell of."""


def page_text(run: OpenedRun) -> str:
    """The page of a run, as HTML text.

    Raises:
        InputError: if a file of the run is damaged.
    """
    from bimt_tf.runs.page.content import page_of
    from bimt_tf.viewer.page import page

    return page(page_of(run))


def write_page(run: OpenedRun, path: Path) -> int:
    """Write the page of a run into a file, whole or not at all; gives its size in bytes.

    Args:
        run: the run.
        path: a plain file there is replaced.

    Raises:
        CannotWrite: an InputError, for a folder that is not there or may not be written to, or a full disk.
    """
    content = page_text(run).encode()
    write_atomically(path, content)
    return len(content)


def is_current(directory: Path) -> bool:
    """Whether a run's directory has its page, and none of the files that it tells of is younger."""
    page = directory / PAGE
    if not page.is_file():
        return False
    made = page.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= made for path in _told_of(directory))


def _told_of(directory: Path) -> Iterator[Path]:
    for name in OWNED:
        if name not in NOT_SHOWN:
            place = directory / name
            yield from (path for path in (place, *place.rglob("*")) if path.is_file())
