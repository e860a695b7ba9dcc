"""``bimt list [DIR]``: the runs under a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson
from bimt_tf.tasks.own import short_name

__all__ = ["list_runs"]


def list_runs(
    directory: Annotated[Path, Parameter(help="a folder of runs")] = Path("runs"), /, *, json: AsJson = False
) -> None:
    """List the runs under DIRECTORY: task, method, seed, steps, state, loss, weights, modularity Q, and when."""
    from bimt_tf.cli.console.reports import print_json, print_rows
    from bimt_tf.runs.listing import run_rows

    rows = [row._asdict() for row in run_rows(directory)]
    if json:
        print_json(rows)
    else:
        shown = [{**row, "task": row["task"] and short_name(row["task"])} for row in rows]
        print_rows(shown, f"no run under {directory}")
