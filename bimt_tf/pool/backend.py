"""Where tries of jobs go on: the interface that processes and a Ray cluster have in common. No torch at import."""

from __future__ import annotations

import importlib.util
import os
from typing import Protocol

from bimt_tf.errors import InputError, unknown
from bimt_tf.pool.job import End, Job

__all__ = ["BACKENDS", "COMPILERS", "Backend", "check_backend", "usable_cores"]

BACKENDS = ("processes", "ray")
COMPILERS = "TORCHINDUCTOR_COMPILE_THREADS"
"""The variable by which a user says how many compilers torch has at once."""


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


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_backend(backend: str, workers: int) -> None:
    """Raise InputError for a backend that is unknown or not installed, or for a negative number of workers."""
    if backend not in BACKENDS:
        raise unknown("backend", str(backend), BACKENDS)
    if backend == "ray" and importlib.util.find_spec("ray") is None:
        raise InputError("backend ray needs its package: pip install 'bimt_tf[ray]'")
    if workers < 0:
        raise InputError(f"workers must be at least 0, found {workers}")
