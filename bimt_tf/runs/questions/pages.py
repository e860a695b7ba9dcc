"""The page of a run, written to a file or shown in a notebook."""

from __future__ import annotations

import html
from pathlib import Path
from typing import NamedTuple

from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["PageQuestions", "ShownPage"]

LOWEST, HIGHEST = 100, 10_000  # pixels


class ShownPage(NamedTuple):
    """A page for a notebook: the last value of a cell is drawn there.

    ``text``: the page; ``height``: of its frame, in pixels; ``title``: what a screen reader calls the frame.
    """

    text: str
    height: int
    title: str

    def __repr__(self) -> str:
        return f"<page of {self.title}, for a notebook; report(path) writes it into a file>"

    def _repr_html_(self) -> str:
        """The whole page in a frame that may run its own scripts and copy to the clipboard, no more."""
        said, page = (html.escape(text, quote=True) for text in (self.title, self.text))
        return (
            f'<iframe title="{said}" sandbox="allow-scripts" width="100%" height="{self.height}" '
            f'allow="clipboard-write *" style="border: 1px solid #888" srcdoc="{page}"></iframe>'
        )


class PageQuestions(OpenedRun):
    """The run as one HTML file that opens anywhere."""

    def report(self, path: str | Path) -> Path:
        """Write the run's page: one HTML file that needs no server and no network.

        A path has to be given, as an opened run changes nothing in its directory by itself: ``bimt report DIR`` writes
        DIR/report.html.

        Args:
            path: where; a plain file that is there is replaced.

        Raises:
            InputError: if it cannot be written.
        """
        from bimt_tf.runs.page_file import write_page

        if not isinstance(path, (str, Path)):
            raise InputError(f"report takes the path of a file to write, found a {type(path).__name__}")
        write_page(self, Path(path))
        return Path(path)

    def show(self, height: int = 800) -> ShownPage:
        """The run's page inside a notebook, as the last value of a cell; nothing is written.

        Args:
            height: of its frame, in pixels.

        Raises:
            InputError: for a height that is no whole number from 100 to 10,000.
        """
        from bimt_tf.runs.page_file import page_text

        if isinstance(height, bool) or not isinstance(height, int) or not LOWEST <= height <= HIGHEST:
            raise InputError(f"height must be a whole number of pixels from {LOWEST} to {HIGHEST:,}, found {height!r}")
        return ShownPage(page_text(self), height, f"{self.config.task}, {self.config.method}, seed {self.config.seed}")
