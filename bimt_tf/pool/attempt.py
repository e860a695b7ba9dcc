"""One try of a job in the process that calls it, and the log beside the run that takes what the try prints.

Every backend does the same with a job: make its run, go on with it from its newest checkpoint, or find it finished.
"""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Literal

from bimt_tf.errors import InputError
from bimt_tf.pool.job import POLL, Job, finished
from bimt_tf.runs.claim import holds
from bimt_tf.runs.lock import InUse, lock
from bimt_tf.runs.stopping import Interrupted, RunFailed

__all__ = ["Said", "attempt", "log_of", "with_log"]

PATIENCE = 60.0  # seconds for which a try waits for the process that holds its directory to end

Said = tuple[Literal["done", "failed", "died"], str]
"""How a try ended, as ``End`` has it, and one line that says why."""


def log_of(run: Path) -> Path:
    """The file beside a run directory that takes what the run's process prints."""
    return run.with_name(f"{run.name}.log")


def with_log(run: Path, text: str) -> str:
    """A sentence that names the run's log, if there is anything in it."""
    log = log_of(run)
    return f"{text}; see {log}" if log.exists() and log.stat().st_size else text


def attempt(job: Job, draw: bool) -> Said:
    """Make, or go on with, the job's run in this process; never raises for what the run itself does wrong."""
    from threadpoolctl import threadpool_limits

    import bimt_tf.pool.compile_alone  # noqa: F401  # what it does is done by importing it
    from bimt_tf.runs.execute import resume_run, train_run

    try:
        with threadpool_limits(job.config.training.threads):
            if not holds(job.path, "config.yaml", "a run"):
                train_run(job.config, job.path, draw=draw)
            elif not _finished_elsewhere(job):
                resume_run(job.path, draw=draw)
    except (InputError, RunFailed) as error:
        return "failed", str(error)
    except Interrupted as error:
        return "died", str(error)
    except Exception as error:
        traceback.print_exc()
        return "died", f"{type(error).__name__}: {' '.join(str(error).split())}"
    return "done", ""


def _finished_elsewhere(job: Job) -> bool:
    """Whether the run is done once no other process holds its directory; one of a pool that was killed may, a while."""
    begun = time.monotonic()
    while True:
        try:
            with lock(job.path):
                return finished(job) is not None
        except InUse:
            if time.monotonic() - begun > PATIENCE:
                raise
        time.sleep(POLL)
