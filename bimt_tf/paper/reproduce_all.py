"""Every table and figure in one go: the runs of all of them in one pool, then each made, and its failure told apart.

An exhibit that takes what another one writes (the frontier takes what its search chose) waits for a second round. One
that cannot be made at all, since its runs are of other settings, say, is named at the end; it stops no other. No torch
at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import EndedRuns, Plan, RunKey
from bimt_tf.paper.plan import jobs_of
from bimt_tf.paper.reproduce import Report
from bimt_tf.pool.job import Job, Outcome, finished
from bimt_tf.pool.pool import run_jobs
from bimt_tf.pool.watcher import PoolWatcher
from bimt_tf.sweeps.result_files import make_folder

__all__ = ["EndedExhibit", "reproduce_all"]

Jobs = Mapping[RunKey, Job]


class EndedExhibit(NamedTuple):
    """What came of one exhibit: its report, or the reason why there is none, in one line."""

    name: str
    report: Report | None
    error: str | None


def reproduce_all(
    plans: Sequence[Plan],
    out: Path,
    docs: Path,
    *,
    train: bool = True,
    workers: int = 0,
    watcher: PoolWatcher | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> list[EndedExhibit]:
    """Make the runs that are missing, those of all exhibits together, then every exhibit, in the order of ``plans``.

    Args:
        plans: as :func:`bimt_tf.paper.plan.plan` gives them, one an exhibit.
        out, docs, train, workers, watcher, stage: as :func:`bimt_tf.paper.reproduce.reproduce` has them.

    Raises:
        InputError: for a folder that cannot be made.
        PoolInterrupted: on SIGINT or SIGTERM; the same call goes on.
    """
    make_folder(docs)
    ends: dict[str, EndedExhibit] = {}
    waiting = list(plans)
    while waiting:
        ready, refused = _ready(waiting, out, docs)
        if not ready:
            ends |= {name: EndedExhibit(name, None, reason) for name, reason in refused.items()}
            break
        unique = {job.path: job for jobs in ready.values() for job in jobs.values()}
        outcomes = _outcomes(list(unique.values()), train, workers, watcher)
        for wanted in waiting:
            if (name := wanted.exhibit.name) in ready:
                stage(f"{name}, {len(ends) + 1} of {len(plans)}: measuring and drawing")
                ends[name] = _made(wanted, ready[name], outcomes, docs)
        waiting = [wanted for wanted in waiting if wanted.exhibit.name not in ready]
    return [ends[wanted.exhibit.name] for wanted in plans]


def _ready(plans: Sequence[Plan], out: Path, docs: Path) -> tuple[dict[str, Jobs], dict[str, str]]:
    """Name -> the runs of each exhibit that can go on, and name -> the reason of each that cannot (yet)."""
    ready: dict[str, Jobs] = {}
    refused: dict[str, str] = {}
    taken: dict[Path, Job] = {}
    for wanted in plans:
        name = wanted.exhibit.name
        try:
            jobs = jobs_of(wanted, out, docs)
            for job in jobs.values():
                finished(job)  # which refuses a directory with a run of other settings
                if taken.get(job.path, job).config != job.config:
                    raise InputError(f"{job.path} is to hold runs of two settings: give the exhibits apart")
        except InputError as error:
            refused[name] = str(error)
            continue
        taken |= {job.path: job for job in jobs.values()}
        ready[name] = jobs
    return ready, refused


def _outcomes(jobs: Sequence[Job], train: bool, workers: int, watcher: PoolWatcher | None) -> dict[Path, Outcome]:
    if train:
        return {one.job.path: one for one in run_jobs(jobs, workers=workers, draw=False, watcher=watcher)}
    return {job.path: Outcome(job, finished(job), None) for job in jobs}


def _made(wanted: Plan, jobs: Jobs, outcomes: Mapping[Path, Outcome], docs: Path) -> EndedExhibit:
    """Make one exhibit of the runs that have ended."""
    name = wanted.exhibit.name
    found = {key: outcomes[job.path] for key, job in jobs.items()}
    ended = {key: one for key, one in found.items() if one.summary is not None}
    failed = [one for one in found.values() if one.error is not None]
    if not ended:
        return EndedExhibit(name, None, failed[0].error if failed else "no run of it has ended")
    try:
        made = wanted.exhibit.make(EndedRuns(wanted, ended, len(jobs)), docs)
    except Exception as error:  # whatever it is: hours of the other exhibits' runs must not be lost by it
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        return EndedExhibit(name, None, " ".join(f"{kind}{error}".split()))
    return EndedExhibit(name, Report(list(made.files), made.line, failed), None)
