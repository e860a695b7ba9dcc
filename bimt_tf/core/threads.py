"""One thread for the search of a small model: its products are so small that threads would wait for each other.

Measured for the in-context model on two busy cores: 66 ms on one thread, 720 ms on the two that BLAS takes by default;
for hidden layers of 500, 3.8 s and 25 s. The products of a large model keep the threads that there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import LibController, ThreadpoolController

__all__ = ["few_threads"]

SMALL = 2**22  # up to so many weights one thread is quicker


@cache
def _blas() -> list[LibController]:
    """The loaded libraries, looked for once, as that takes as long as a search (NumPy's and SciPy's are loaded)."""
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


@contextmanager
def few_threads(weights: int) -> Iterator[None]:
    """Limit BLAS and torch to one thread inside a ``with`` block, for a model of up to ``SMALL`` weights.

    The numbers of threads are the process's; behind the block they are what they were before it.
    """
    if weights > SMALL:
        yield
        return
    threads = torch.get_num_threads()
    several = [(library, n) for library in _blas() if (n := library.get_num_threads()) != 1]
    try:
        for library, _ in several:
            library.set_num_threads(1)
        if threads != 1:
            torch.set_num_threads(1)
        yield
    finally:
        for library, n in several:
            library.set_num_threads(n)
        if threads != 1:
            torch.set_num_threads(threads)
