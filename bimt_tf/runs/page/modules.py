"""For the page: modules and what each does."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["modules_part"]


def modules_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
