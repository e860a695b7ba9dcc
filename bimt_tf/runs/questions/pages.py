"""The page of a run, written to a file or shown in a notebook."""

from __future__ import annotations

from pathlib import Path

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["PageQuestions"]


class PageQuestions(OpenedRun):
    """The run as one HTML file that opens anywhere."""

    def report(self, path: str | Path) -> Path:
        """Write the run's page: one HTML file that needs no server and no network.

        Args:
            path: where; a file that is there is replaced.

        Raises:
            InputError: if it cannot be written.
        """
        from bimt_tf.runs.atomic import write_atomically
        from bimt_tf.runs.page.content import page_of
        from bimt_tf.viewer.page import page

        write_atomically(Path(path), page(page_of(self)).encode())
        return Path(path)
