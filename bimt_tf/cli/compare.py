"""``bimt compare DIR DIR...``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, at_of
from bimt_tf.errors import InputError

__all__ = ["compare"]


def compare(
    *directories: Annotated[Path, Parameter(help="run directories, two or more")],
    figure: Annotated[Path | None, Parameter(help="also draw the networks side by side into this file")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Compare runs: first the settings in which they differ, then their numbers side by side."""
    if len(directories) < 2:
        raise InputError(f"bimt compare takes two run directories or more, found {len(directories)}")
    from bimt_tf.cli.console.kept import print_kept
    from bimt_tf.cli.console.reports import print_comparison, print_json
    from bimt_tf.runs.compare import compare_runs
    from bimt_tf.runs.figure_files import form_of, write_figure

    form = form_of(figure)
    found = compare_runs(directories, at_of(at))
    if figure is not None:
        write_figure(found.figure(device), figure, form)
    if json:
        print_json(found.as_dict())
    else:
        print_comparison(found)
        print_kept(None, figure)
