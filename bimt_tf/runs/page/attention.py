"""For the page: attention patterns by example."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["attention_part"]


def attention_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
