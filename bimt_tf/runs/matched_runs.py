"""Runs opened where they have about as many weights as another network."""

from __future__ import annotations

import math
from pathlib import Path

from bimt_tf.runs.finished_run import FinishedRun
from bimt_tf.runs.load import load_run
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["matched_point", "matched_run"]


def matched_run(path: str | Path, weights: int, device: str = "cpu") -> FinishedRun:
    """A run, at the point of its elimination that comes nearest to so many ``weights``; as it is without one.

    Raises:
        InputError: if there is no run, or it cannot be opened.
    """
    run = load_run(path, device)
    point = matched_point(run, weights)
    return run if point is None else load_run(path, device, at=point)


def matched_point(run: OpenedRun, weights: int) -> int | None:
    """The number of weights of that point of a run's elimination which comes nearest to ``weights``, as a ratio.

    None for a run without an elimination.
    """
    there = [int(row["weights"]) for row in run.elimination if row["weights"]]
    return min(there, key=lambda each: (abs(math.log(each / max(weights, 1))), each)) if there else None
