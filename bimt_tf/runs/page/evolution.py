"""For the page: the network at earlier steps."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["evolution_part"]


def evolution_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
