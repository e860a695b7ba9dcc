"""Runs of exhibits, made in this very process: one of its own for each costs seconds, and is for the pool to test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bimt_tf.paper import reproduce, reproduce_all
from bimt_tf.pool.job import Job, Outcome, finished
from bimt_tf.runs.execute import train_run


def made_here(jobs: Sequence[Job], **given: Any) -> list[Outcome]:
    """As ``run_jobs``: those that have ended stay, and what goes wrong is the test's own error."""
    return [Outcome(job, finished(job) or train_run(job.config, job.path, draw=False), None) for job in jobs]


@pytest.fixture(scope="module")
def in_this_process() -> Iterator[None]:
    """``bimt reproduce`` makes its runs in this process, one after another."""
    with pytest.MonkeyPatch.context() as patch:
        for room in (reproduce, reproduce_all):
            patch.setattr(room, "run_jobs", made_here)
        yield
