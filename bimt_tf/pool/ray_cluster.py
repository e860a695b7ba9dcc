"""Tries of runs as tasks on a Ray cluster: the one RAY_ADDRESS names, or one on this machine that ends with the pool.

Every machine of the cluster must see the run directories at the same path and have bimt_tf installed. A task has as
many cores as its run has threads. Ray retries nothing: the pool does.
"""

from __future__ import annotations

import logging
import os
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from bimt_tf.errors import InputError
from bimt_tf.pool.attempt import Said, attempt, log_of, with_log
from bimt_tf.pool.job import End, Job

__all__ = ["RayTasks"]


class RayTasks:
    """The backend of a Ray cluster; ``workers`` tasks at once, 0 for as many as its cores allow."""

    def __init__(self, workers: int, threads: int, draw: bool) -> None:
        import ray

        self._ray: Any = ray
        self._draw = draw
        self._ours = not ray.is_initialized()
        if self._ours:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
            address = os.environ.get("RAY_ADDRESS", "local")
            try:
                ray.init(
                    address,
                    include_dashboard=False if address == "local" else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except Exception as error:  # of many kinds: no such address, another version, no room in shared memory
                raise InputError(f"no Ray cluster at {address!r}: {' '.join(str(error).split())}") from error
        cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        self.slots = min(workers or cores, max(cores // threads, 1))
        self._task: Any = ray.remote(num_cpus=min(threads, cores), max_retries=0)(_task)
        self._running: dict[Any, Job] = {}

    def start(self, job: Job) -> None:
        """Begin a try of a job."""
        absolute = Job(job.path.absolute(), job.config)  # a task's working directory is Ray's
        self._running[self._task.remote(absolute, self._draw)] = job

    def wait(self, seconds: float) -> list[End]:
        """The tries that ended, after ``seconds`` at most."""
        ready, _ = self._ray.wait(list(self._running), timeout=seconds)
        return [self._end(reference) for reference in ready]

    def stop(self) -> None:
        """An interrupt to every task: as at a Ctrl-C, each writes its checkpoint and ends."""
        for reference in self._running:
            self._ray.cancel(reference)

    def close(self) -> None:
        """Cancel what is left, and end the cluster if it was started here."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._ours:
            self._ray.shutdown()

    def _end(self, reference: Any) -> End:
        job = self._running.pop(reference)
        try:
            kind, text = self._ray.get(reference)
        except Exception as error:  # the worker died, its machine is gone, memory ran out, or it was cancelled
            return End(job, "died", f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
        return End(job, kind, with_log(job.path, text) if kind == "died" else text)


def _task(job: Job, draw: bool) -> Said:
    """What a task does; what it prints goes to the log beside the run."""
    log = log_of(job.path)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("a", encoding="utf-8")
    except OSError as error:
        return "failed", f"cannot write to {log}: {error.strerror}"
    with file, redirect_stdout(file), redirect_stderr(file):
        said = attempt(job, draw)
    if log.stat().st_size == 0:
        log.unlink()
    return said
