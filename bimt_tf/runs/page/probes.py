"""For the page: where quantities can be read."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["probes_part"]


def probes_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
