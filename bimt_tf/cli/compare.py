"""``bimt compare DIR DIR...``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, at_of
from bimt_tf.errors import InputError, unknown

if TYPE_CHECKING:
    from bimt_tf.runs.compare import Comparison

__all__ = ["compare"]

FORMATS = ("png", "pdf", "svg")


def compare(
    *directories: Annotated[Path, Parameter(help="run directories, two or more")],
    figure: Annotated[Path | None, Parameter(help="also draw the networks side by side into this file")] = None,
    at: At = "shown",
    json: AsJson = False,
) -> None:
    """Compare runs: first the settings in which they differ, then their numbers side by side."""
    if len(directories) < 2:
        raise InputError(f"bimt compare takes two run directories or more, found {len(directories)}")
    from bimt_tf.cli.console.reports import print_comparison, print_json
    from bimt_tf.runs.compare import compare_runs

    form = _form(figure) if figure is not None else ""
    found = compare_runs(directories, at_of(at))
    if figure is not None:
        _save(found, figure, form)
    if json:
        print_json(found.as_dict())
    else:
        print_comparison(found)


def _form(path: Path) -> str:
    """The format that a file's name says."""
    form = path.suffix.removeprefix(".") or "png"
    if form not in FORMATS:
        raise unknown("format of a figure", form, FORMATS)
    return form


def _save(found: Comparison, path: Path, form: str) -> None:
    """Draw the networks into a file."""
    from bimt_tf.runs.atomic import write_atomically
    from bimt_tf.runs.figure_files import image_of

    write_atomically(path, image_of(found.figure(), form))
