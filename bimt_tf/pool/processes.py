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
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from bimt_tf.pool.attempt import Said, attempt, log_of, with_log
from bimt_tf.pool.backend import COMPILERS
from bimt_tf.pool.job import POLL, End, Job

__all__ = ["Processes"]

PRELOADED = [  # the second line loads on first use: more than a second of every run
    "bimt_tf.runs.execute", "bimt_tf.models.mlp", "bimt_tf.models.transformer",
    "torch._dynamo", "sklearn.datasets", "matplotlib.backends.backend_pdf",
]  # fmt: skip
COMPILER = ["bimt_tf.pool.compile_alone", "torch._inductor.compile_fx"]  # another second, of every run that compiles
SERVERLESS = 10.0  # seconds for which a try waits to be started
ORPHANED = 60.0  # seconds that a run has to write its checkpoint once the pool is gone


class _Try(NamedTuple):
    job: Job
    process: BaseProcess
    said: Connection


class Processes:
    """The backend of one machine; ``slots`` processes at once. ``compiling``: whether a run may compile its steps."""

    def __init__(self, slots: int, draw: bool, compiling: bool) -> None:
        self.slots, self._draw = slots, draw
        self._context: Any
        if sys.platform.startswith("linux"):
            self._context = multiprocessing.get_context("forkserver")
            alone = COMPILERS not in os.environ  # several would be the server's children, and not the runs'
            self._context.set_forkserver_preload(PRELOADED + COMPILER if compiling and alone else PRELOADED)
        else:
            self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, _Try] = {}
        self._unborn: list[End] = []

    def start(self, job: Job) -> None:
        """Begin a try of a job; waits a while for a new server if the server was killed (by lack of memory, say)."""
        begun = time.monotonic()
        while (error := self._start(job)) is not None:
            if time.monotonic() - begun > SERVERLESS:
                text = f"no process could be started: {type(error).__name__} {error}"
                self._unborn.append(End(job, "died", text))
                return
            time.sleep(POLL)

    def _start(self, job: Job) -> Exception | None:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_child, args=(job, self._draw, sender), name=f"bimt {job.path}")
        try:
            process.start()
        except (EOFError, OSError) as error:  # a server that is dying refuses; once it is dead, there will be another
            receiver.close()
            return error
        finally:
            sender.close()
        self._running[process.sentinel] = _Try(job, process, receiver)
        return None

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
        one.process.close()  # a try whose server was killed may go on: to it the pool is gone now, so it stops
        if said is None:
            how = f"signal {-code} ({_signal(-code)})" if code is not None and code < 0 else f"exit code {code}"
            return End(one.job, "died", with_log(one.job.path, f"the process ended with {how}"))
        kind, text = said
        return End(one.job, kind, with_log(one.job.path, text) if kind == "died" else text)


def _child(job: Job, draw: bool, said: Connection) -> None:
    """What a process of the pool does."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal is the pool's to handle
    log = log_of(job.path)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
    except OSError as error:
        said.send(("failed", f"cannot write to {log}: {error.strerror}"))
        return
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


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
