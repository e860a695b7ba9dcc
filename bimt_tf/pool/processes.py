"""Tries of runs in processes of this machine: one process a try, so that none can take another with it.

Processes are forked from a server that has loaded torch already (Linux), or started afresh. Each is deaf to the
terminal's Ctrl-C, stops at a SIGTERM as ``bimt train`` does, and stops the same way when the pool's process is gone.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bimt_tf.errors import InputError
from bimt_tf.pool.job import LEFTOVERS, POLL, End, Job, finished
from bimt_tf.runs.stopping import Interrupted, RunFailed

__all__ = ["Processes", "attempt", "log_of", "with_log"]

PRELOADED = [  # the last two load on first use: more than a second of every run
    "bimt_tf.runs.execute", "bimt_tf.models.mlp", "bimt_tf.models.transformer", "torch._dynamo", "sklearn.datasets",
]  # fmt: skip
PATIENCE = 60.0  # seconds for which a run waits for the process that holds its directory to end
ORPHANED = 60.0  # seconds that a run has to write its checkpoint once the pool is gone

Said = tuple[Literal["done", "failed", "died"], str]


class _Try(NamedTuple):
    job: Job
    process: BaseProcess
    said: Connection


class Processes:
    """The backend of one machine; ``slots`` processes at once."""

    def __init__(self, slots: int, draw: bool) -> None:
        self.slots, self._draw = slots, draw
        self._context: Any
        if sys.platform.startswith("linux"):
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(PRELOADED)
        else:
            self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, _Try] = {}
        self._unborn: list[End] = []

    def start(self, job: Job) -> None:
        """Begin a try of a job."""
        job.path.parent.mkdir(parents=True, exist_ok=True)
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_child, args=(job, self._draw, sender), name=f"bimt {job.path}")
        try:
            process.start()
        except (EOFError, OSError) as error:  # the server died, by lack of memory say; the next start has a new one
            self._unborn.append(End(job, "died", f"no process could be started: {type(error).__name__} {error}"))
            receiver.close()
        else:
            self._running[process.sentinel] = _Try(job, process, receiver)
        sender.close()

    def wait(self, seconds: float) -> list[End]:
        """The tries that ended, after ``seconds`` at most."""
        unborn, self._unborn = self._unborn, []
        ready = wait(list(self._running), timeout=0 if unborn else seconds)
        return unborn + [self._end(self._running.pop(sentinel)) for sentinel in ready if isinstance(sentinel, int)]

    def stop(self) -> None:
        """SIGTERM to every process: each writes its checkpoint and ends."""
        for one in self._running.values():
            one.process.terminate()

    def close(self) -> None:
        """Kill what is left; its checkpoints stay."""
        for one in self._running.values():
            one.process.kill()
        for one in self._running.values():
            one.process.join()
            one.said.close()
        self._running.clear()

    def _end(self, one: _Try) -> End:
        one.process.join()
        try:
            said: Said | None = one.said.recv() if one.said.poll() else None
        except EOFError:
            said = None
        code = one.process.exitcode
        one.said.close()
        one.process.close()
        if said is None:
            how = f"signal {-code} ({_signal(-code)})" if code is not None and code < 0 else f"exit code {code}"
            return End(one.job, "died", with_log(one.job.path, f"the process ended with {how}"))
        kind, text = said
        return End(one.job, kind, with_log(one.job.path, text) if kind == "died" else text)


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

    from bimt_tf.runs.execute import resume_run, train_run

    _compile_alone()
    try:
        with threadpool_limits(job.config.training.threads):
            if not (job.path / "config.yaml").exists():
                train_run(job.config, job.path, overwrite=_clear_leftovers(job.path), draw=draw)
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


def _compile_alone() -> None:
    """Let torch compile in this process: the pool has a run for every core already."""
    if "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ:
        import torch._inductor.config

        torch._inductor.config.compile_threads = 1


def _child(job: Job, draw: bool, said: Connection) -> None:
    """What a process of the pool does."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal is the pool's to handle
    log = log_of(job.path)
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    faulthandler.enable(file=2)
    threading.Thread(target=_end_with_the_pool, daemon=True).start()
    said.send(attempt(job, draw))
    said.close()
    sys.stderr.flush()
    if log.stat().st_size == 0:
        log.unlink()


def _end_with_the_pool() -> None:
    """Once the pool's process is gone, stop as at a SIGTERM; if that does not end the process, end it."""
    pool = multiprocessing.parent_process()
    assert pool is not None
    pool.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHANED)
    os._exit(1)


def _finished_elsewhere(job: Job) -> bool:
    """Whether the run is done once no other process holds its directory; one of a pool that was killed may, a while."""
    from bimt_tf.runs.directory import RunDirectory

    run, begun = RunDirectory(job.path), time.monotonic()
    while True:
        try:
            with run.lock():
                return finished(job) is not None
        except InputError as error:
            if "in use" not in str(error) or time.monotonic() - begun > PATIENCE:
                raise
        time.sleep(POLL)


def _clear_leftovers(path: Path) -> bool:
    """Whether a run that died before its config was whole has left something; half a config is removed."""
    left = any((path / name).exists() for name in LEFTOVERS)
    (path / ".config.yaml.tmp").unlink(missing_ok=True)
    return left


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
