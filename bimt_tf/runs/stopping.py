"""How a run stops before its end: by a signal, which it collects, or because it cannot go on. No torch at import."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "RunFailed", "caught_signals", "raised_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

    with _handled(catch, before):
        yield caught


@contextmanager
def raised_signals(message: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into Interrupted with this message, raised at once, wherever the work is.

    For work that takes its time in a library and leaves nothing half-written. A library that swallows the exception
    only delays it: it is raised again where the block ends.
    """
    caught: list[int] = []

    def catch(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        raise Interrupted(signum, message)

    with _handled(catch, {}):
        yield
        if caught:
            raise Interrupted(caught[0], message)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], before: dict[int, Any]) -> Iterator[None]:
    """Give both signals to a handler for a while; ``before`` gets the handlers that were there."""
    try:
        for each in SIGNALS:
            before[each] = signal.signal(each, handler)
    except ValueError:  # not in the main thread: the caller handles signals
        pass
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)
