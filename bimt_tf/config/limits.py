"""What this machine can run of what a config asks: asked before a run begins, not when a config is read.

A config written on a large machine is read on a small one, where its results are looked at. Memory is estimated where
models are built (training/memory.py).
"""

from __future__ import annotations

import os

from bimt_tf.config.settings import Config
from bimt_tf.errors import require_at_most

__all__ = ["THREADS_A_CORE", "require_runnable"]

THREADS_A_CORE = 4


def require_runnable(config: Config) -> None:
    """Raise unless this machine can run the config: at most four threads a core.

    Raises:
        InputError: in one line, before anything is allocated or written.
    """
    cores = os.cpu_count() or 1
    require_at_most(f"threads, on {cores} cores,", config.training.threads, THREADS_A_CORE * cores)
