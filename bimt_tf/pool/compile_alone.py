"""At import: torch compiles in the process that asks for it, for the pool has a run for every core already.

It comes before torch's compiler is loaded, which at its import would start a process for each core: a server that
others are forked from must have none. A user who sets the number of compilers has it so.
"""

from __future__ import annotations

import os

import torch._inductor.config

from bimt_tf.pool.backend import COMPILERS

__all__ = ["ALONE"]

ALONE = COMPILERS not in os.environ
"""Whether it does: not where a user sets the number of compilers."""

if ALONE:
    torch._inductor.config.compile_threads = 1
