"""For the page: the compact network, to be evaluated in the page."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["live_part"]


def live_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
