"""For the page: curves, configuration, and how to run and load it again."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["run_facts_part"]


def run_facts_part(run: OpenedRun) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    return None
