"""A figure as the content of a file, or written into one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.errors import unknown
from bimt_tf.runs.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "form_of", "image_of", "write_figure"]

DPI = 200
FORMATS = ("png", "pdf", "svg")


def image_of(figure: Figure, form: str) -> bytes:
    """A figure as "png", "pdf" or "svg"."""
    drawn = BytesIO()
    figure.savefig(drawn, format=form, dpi=DPI)
    return drawn.getvalue()


def form_of(path: Path | None) -> str:
    """The format that a file's name says: png where it says none, or where there is no file.

    Raises:
        InputError: for one that is none of a figure.
    """
    form = "png" if path is None else path.suffix.removeprefix(".").lower() or "png"
    if form not in FORMATS:
        raise unknown("format of a figure", form, FORMATS)
    return form


def write_figure(figure: Figure, path: Path, form: str) -> None:
    """Draw a figure into a file as "png", "pdf" or "svg"; raises CannotWrite."""
    write_atomically(path, image_of(figure, form))
