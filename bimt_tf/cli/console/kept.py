"""What a question's command says beside its answer: a bar while it is worked out, and where the answer is kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bimt_tf.cli.console.columns import Whole, bar_column, spelled_time
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import Kind, keep
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["keep_or_note", "step_bar"]


@contextmanager
def step_bar(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr that goes when it is done, and what is called at each step; nothing in a file or a pipe."""
    console = Console(stderr=True)
    with Progress(
        Whole(lambda task: f"{task.percentage:3.0f}%"),
        bar_column(24),
        Whole(lambda task: spelled_time(task.time_remaining)),
        Whole(lambda task: task.description),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=steps or None)
        yield lambda: bar.advance(task)


def keep_or_note(
    run: OpenedRun, kind: Kind, question: str, asked: Mapping[str, Any], made: Mapping[str, Any], result: Any
) -> Path | None:
    """Keep an answer in the run's directory; where that cannot be, say so on stderr and go on: None."""
    try:
        return keep(run, kind, question, asked, made, result)
    except InputError as error:
        sys.stderr.write(f"note: the answer is not kept: {error}\n")
        return None
