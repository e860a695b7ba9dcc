"""How a run stops before its end: by a signal, which it collects, or because it cannot go on. No torch at import."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "RunFailed", "caught_signals"]


class Interrupted(Exception):
    """A signal stopped the work; what is written goes on from there."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class RunFailed(Exception):
    """The run cannot go on; the message names the step and the last good checkpoint."""


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying by them; a second one acts as it always does."""
    caught: list[int] = []
    before: dict[int, Any] = {}

    def catch(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        signal.signal(signum, before[signum])

    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            before[each] = signal.signal(each, catch)
    except ValueError:  # not in the main thread: the caller handles signals
        pass
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
