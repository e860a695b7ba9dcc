"""What a question's command says beside its answer: a bar while it is worked out, and where the answer is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress as Bar

from bimt_tf.cli.console.columns import Whole, bar_column, spelled_time
from bimt_tf.cli.console.links import print_path
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import Kind, keep
from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from bimt_tf.analysis.progress import Progress

__all__ = ["keep_or_note", "print_kept", "progress_bar"]


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on stderr that goes when it is done, and what an analysis tells (done, of); nothing in a file or a pipe."""
    console = Console(stderr=True)
    with Bar(
        Whole(lambda task: f"{task.percentage:3.0f}%"),
        bar_column(24),
        Whole(lambda task: spelled_time(task.time_remaining)),
        Whole(lambda task: task.description),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of or None)


def keep_or_note(
    run: OpenedRun, kind: Kind, question: str, asked: Mapping[str, Any], made: Mapping[str, Any], result: Any
) -> Path | None:
    """Keep an answer in the run's directory; where that cannot be, say so on stderr and go on: None.

    It cannot where the directory takes no files, or where the file of the earlier answers is damaged.
    """
    try:
        return keep(run, kind, question, asked, made, result)
    except InputError as error:
        sys.stderr.write(f"note: the answer is not kept: {error}\n")
        return None


def print_kept(path: Path | None, *figures: Path | None) -> None:
    """The figures that were drawn, and in the last line where an answer is kept, if it is."""
    for figure in figures:
        if figure is not None:
            print_path("figure:", figure)
    if path is not None:
        print_path("kept in", path)
