"""Many training runs on all cores: each in a process of its own, resumed, retried once, and skipped if it must be.

What a run directory holds decides what is done: a finished run is not done again, an interrupted one goes on from its
checkpoint. So the same call after an interruption, or after kill -9, goes on where the first one was. No torch at
import: the runs load it, each in its own process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from bimt_tf.errors import InputError
from bimt_tf.pool.backend import Backend, check_backend, usable_cores
from bimt_tf.pool.job import POLL, End, Job, Outcome, finished
from bimt_tf.pool.time_left import Timing
from bimt_tf.pool.watcher import PoolWatcher, SilentPoolWatcher
from bimt_tf.runs.stopping import Interrupted, caught_signals

__all__ = ["PoolInterrupted", "run_jobs"]

TRIES = 2


class PoolInterrupted(Interrupted):
    """A signal stopped the pool; every run that was going on has written its checkpoint."""


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
    check_backend(backend, workers)
    paths = [job.path.absolute() for job in jobs]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise InputError(f"two runs are to be made in one directory, {twice}")
    pool = _Pool(jobs, watcher or SilentPoolWatcher())
    if pool.waiting:
        with closing(_backend(backend, workers, list(pool.waiting), draw)) as place:
            pool.run(place)
    else:
        pool.watcher.start(jobs, pool.timing.progress())
    return [pool.outcomes[job.path] for job in jobs]


class _Pool:
    """The jobs of one call: those that wait for a slot, how many go on, and what came of the others."""

    def __init__(self, jobs: Sequence[Job], watcher: PoolWatcher) -> None:
        self.jobs, self.watcher = jobs, watcher
        self.outcomes = {job.path: Outcome(job, summary, None) for job in jobs if (summary := finished(job))}
        self.waiting = deque(job for job in jobs if job.path not in self.outcomes)
        self.timing = Timing([(job.path, job.config) for job in jobs], [job.path for job in self.waiting])
        self._tries: dict[Path, int] = {}
        self._running = 0

    def run(self, place: Backend) -> None:
        """Start, collect and try again until no job is left, or a signal comes."""
        self.timing.slots = place.slots
        with caught_signals() as caught:
            self.watcher.start(self.jobs, self.timing.progress())
            while self.waiting or self._running:
                while self.waiting and self._running < place.slots and not caught:
                    self._start(place, self.waiting.popleft())
                for end in place.wait(POLL):
                    self._running -= 1
                    if not caught or end.kind == "done":  # the others were told to stop
                        self._end(end)
                self.watcher.tick(self.timing.progress())
                if caught:
                    done = sum(one.error is None for one in self.outcomes.values()) + _stop(place, self._running)
                    text = f"stopped with {done} of {len(self.jobs)} runs done; the same command goes on"
                    raise PoolInterrupted(caught[0], text)

    def _start(self, place: Backend, job: Job) -> None:
        self._tries[job.path] = self._tries.get(job.path, 0) + 1
        place.start(job)  # the first start waits until torch is loaded: nobody's time
        self.timing.begin(job.path)
        self._running += 1

    def _end(self, end: End) -> None:
        path = end.job.path
        if end.kind == "died" and self._tries[path] < TRIES:
            self.timing.retry(path)
            self.watcher.retry(end.job, end.text)
            self.waiting.appendleft(end.job)
            return
        outcome = self.outcomes[path] = _outcome(end)
        seconds = self.timing.end(path, failed=outcome.summary is None)
        self.watcher.ended(outcome, seconds, self.timing.progress())


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

    compiling = any(job.config.training.compile != "no" for job in jobs)
    return Processes(min(workers or max(usable_cores() // threads, 1), len(jobs)), draw, compiling)


def _outcome(end: End) -> Outcome:
    if end.kind != "done":
        twice = "" if end.kind == "failed" else "; tried twice"
        return Outcome(end.job, None, " ".join(f"{end.text}{twice}".split()))
    try:
        summary = finished(end.job)
    except InputError as error:  # someone else wrote into the directory meanwhile
        return Outcome(end.job, None, str(error))
    return Outcome(end.job, summary, None if summary else f"{end.job.path} has no summary.json after its end")
