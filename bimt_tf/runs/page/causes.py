"""For the page: effects of knock-outs of neurons and wires."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["causes_part"]


def causes_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
