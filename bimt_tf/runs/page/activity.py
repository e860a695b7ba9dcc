"""For the page: examples and what neurons do on them."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["activity_part"]


def activity_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
