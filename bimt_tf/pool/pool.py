"""Many training runs on all cores: each in a process of its own, resumed, retried once, and skipped if it must be.

What a run directory holds decides what is done: a finished run is not done again, an interrupted one goes on from its
checkpoint. So the same call after an interruption, or after kill -9, goes on where the first one was. No torch at
import: the runs load it, each in its own process.
"""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, Protocol

from bimt_tf.errors import InputError, unknown
from bimt_tf.pool.job import POLL, End, Job, Outcome, finished
from bimt_tf.pool.time_left import Progress, Timing
from bimt_tf.runs.stopping import Interrupted, caught_signals

__all__ = ["BACKENDS", "Backend", "PoolInterrupted", "PoolWatcher", "check_backend", "run_jobs", "usable_cores"]

BACKENDS = ("processes", "ray")
TRIES = 2


class PoolInterrupted(Interrupted):
    """A signal stopped the pool; every run that was going on has written its checkpoint."""


class Backend(Protocol):
    """Where tries of jobs go on, at most ``slots`` at once."""

    slots: int

    def start(self, job: Job) -> None:
        """Begin a try; a slot is free."""
        ...

    def wait(self, seconds: float) -> list[End]:
        """The tries that ended, after ``seconds`` at most."""
        ...

    def stop(self) -> None:
        """Ask every try to write its checkpoint and end."""
        ...

    def close(self) -> None:
        """End what is left."""
        ...


class PoolWatcher(Protocol):
    """Shows a pool while it goes on."""

    def start(self, jobs: Sequence[Job], progress: Progress) -> None:
        """The pool begins; finished runs that it found are counted."""
        ...

    def tick(self, progress: Progress) -> None:
        """Called about twice a second."""
        ...

    def retry(self, job: Job, error: str) -> None:
        """A run died and will be tried again, from its checkpoint."""
        ...

    def ended(self, outcome: Outcome, seconds: float, progress: Progress) -> None:
        """A run ended, ``seconds`` after it was started here."""
        ...


class SilentPoolWatcher:
    """A watcher that shows nothing."""

    def start(self, jobs: Sequence[Job], progress: Progress) -> None: ...

    def tick(self, progress: Progress) -> None: ...

    def retry(self, job: Job, error: str) -> None: ...

    def ended(self, outcome: Outcome, seconds: float, progress: Progress) -> None: ...


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_backend(backend: str, workers: int) -> None:
    """Raise InputError for a backend that is unknown or not installed, or a number of workers that is none."""
    if backend not in BACKENDS:
        raise unknown("backend", str(backend), BACKENDS)
    if backend == "ray" and importlib.util.find_spec("ray") is None:
        raise InputError("backend ray needs its package: pip install 'bimt_tf[ray]'")
    if workers < 0:
        raise InputError(f"workers must be at least 0, found {workers}")


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int = 0,
    backend: Literal["processes", "ray"] = "processes",
    draw: bool = True,
    watcher: PoolWatcher | None = None,
) -> list[Outcome]:
    """Bring every job to its end and give the outcomes in the jobs' order.

    Args:
        jobs: runs that are wanted, each in a directory of its own.
        workers: runs at once; 0 for as many as there are cores (fewer if a run uses several threads).
        backend: processes of this machine, or tasks on a Ray cluster whose machines share the file system.
        draw: whether every run draws its figures.
        watcher: shows the pool while it goes on.

    Raises:
        InputError: before anything runs, for a directory that cannot be used, a backend that is not there, or
            two jobs in one directory.
        PoolInterrupted: on SIGINT or SIGTERM, once every running job has written its checkpoint.
    """
    watcher = watcher or SilentPoolWatcher()
    check_backend(backend, workers)
    paths = [job.path.absolute() for job in jobs]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise InputError(f"two runs are to be made in one directory, {twice}")
    outcomes = {i: Outcome(job, summary, None) for i, job in enumerate(jobs) if (summary := finished(job))}
    places = {job.path: i for i, job in enumerate(jobs)}
    waiting = deque(job for i, job in enumerate(jobs) if i not in outcomes)
    timing = Timing([(job.path, job.config) for job in jobs], [job.path for job in waiting])
    if not waiting:
        watcher.start(jobs, timing.progress())
        return [outcomes[i] for i in range(len(jobs))]
    place = _backend(backend, workers, list(waiting), draw)
    timing.slots = place.slots
    tries: dict[Path, int] = {}
    running = 0
    with closing(place), caught_signals() as caught:
        watcher.start(jobs, timing.progress())
        while waiting or running:
            while waiting and running < place.slots and not caught:
                job = waiting.popleft()
                tries[job.path] = tries.get(job.path, 0) + 1
                place.start(job)  # the first start waits until torch is loaded: nobody's time
                timing.begin(job.path)
                running += 1
            ends = place.wait(POLL)
            running -= len(ends)
            for end in ends:
                if caught and end.kind != "done":
                    continue  # it was told to stop
                if end.kind == "died" and tries[end.job.path] < TRIES:
                    timing.retry(end.job.path)
                    watcher.retry(end.job, end.text)
                    waiting.appendleft(end.job)
                    continue
                outcome = _outcome(end)
                outcomes[places[end.job.path]] = outcome
                seconds = timing.end(end.job.path, failed=outcome.summary is None)
                watcher.ended(outcome, seconds, timing.progress())
            watcher.tick(timing.progress())
            if caught:
                done = sum(o.error is None for o in outcomes.values()) + _stop(place, running)
                text = f"stopped with {done} of {len(jobs)} runs done; the same command goes on"
                raise PoolInterrupted(caught[0], text)
    return [outcomes[i] for i in range(len(jobs))]


def _stop(place: Backend, running: int) -> int:
    """Let every running job write its checkpoint, and give how many came to their end meanwhile.

    A second signal ends the waiting as it always does.
    """
    place.stop()
    ends: list[End] = []
    while len(ends) < running:
        ends += place.wait(POLL)
    return sum(end.kind == "done" for end in ends)


def _backend(name: str, workers: int, jobs: Sequence[Job], draw: bool) -> Backend:
    threads = max(job.config.training.threads for job in jobs)
    if name == "ray":
        from bimt_tf.pool.ray_cluster import RayTasks

        return RayTasks(workers, threads, draw)
    from bimt_tf.pool.processes import Processes

    return Processes(min(workers or max(usable_cores() // threads, 1), len(jobs)), draw)


def _outcome(end: End) -> Outcome:
    if end.kind != "done":
        twice = "" if end.kind == "failed" else "; tried twice"
        return Outcome(end.job, None, " ".join(f"{end.text}{twice}".split()))
    try:
        summary = finished(end.job)
    except InputError as error:  # someone else wrote into the directory meanwhile
        return Outcome(end.job, None, str(error))
    return Outcome(end.job, summary, None if summary else f"{end.job.path} has no summary.json after its end")
