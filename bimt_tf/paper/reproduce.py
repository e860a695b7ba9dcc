"""The paper's tables and figures from one command: run what is missing, then make the exhibit (plan.py, exhibits.py).

Runs lie in OUT/ROW/METHOD-seedN and are shared by all exhibits; a finished one is not made again. What is written goes
to a folder of its own, DOCS: tables as Markdown and CSV, figures as PNG and PDF. No torch at import.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import EndedRuns, Plan
from bimt_tf.paper.plan import jobs_of
from bimt_tf.pool.job import Outcome, finished
from bimt_tf.pool.pool import run_jobs
from bimt_tf.pool.watcher import PoolWatcher
from bimt_tf.sweeps.result_files import make_folder

__all__ = ["Report", "reproduce"]


class Report(NamedTuple):
    """What was written, one line that says what came out, and the runs that failed."""

    files: list[Path]
    line: str
    failed: list[Outcome]


def reproduce(
    wanted: Plan,
    out: Path,
    docs: Path,
    *,
    train: bool = True,
    workers: int = 0,
    watcher: PoolWatcher | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> Report:
    """Make the runs that are missing in ``out``, then write the exhibit's tables or figures into ``docs``.

    Unless ``train``, nothing is run: what is written is of the finished runs, and tables say how many those are.

    Args:
        wanted: as :func:`bimt_tf.paper.plan.plan` gives it.
        out, docs: folders, made if they are not there.
        train: whether missing runs are made.
        workers, watcher: as :func:`bimt_tf.pool.pool.run_jobs` has them.
        stage: told what goes on after the runs.

    Raises:
        InputError: for a directory that cannot be used, or runs of other settings in it.
        PoolInterrupted: on SIGINT or SIGTERM; the same call goes on.
    """
    jobs = jobs_of(wanted, out, docs)
    if train:
        outcomes = run_jobs(list(jobs.values()), workers=workers, draw=False, watcher=watcher)
    else:
        outcomes = [Outcome(job, finished(job), None) for job in jobs.values()]
        if not any(outcome.summary for outcome in outcomes):
            raise InputError(f"no run of {wanted.exhibit.name} in {out} has ended: there is nothing to write")
    ended = {key: one for key, one in zip(jobs, outcomes, strict=True) if one.summary is not None}
    make_folder(docs)
    stage("measuring and drawing")
    made = wanted.exhibit.make(EndedRuns(wanted, ended, len(jobs)), docs)
    return Report(list(made.files), made.line, [one for one in outcomes if one.error is not None])
