"""How far a pool of runs is, and how long it will take: from the steps that its runs have logged.

A task's seconds per step come from the runs of it that this pool has made or is making; a task not met yet is taken to
be as slow as the mean of the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bimt_tf.config.settings import Config

__all__ = ["Progress", "Timing", "logged_step"]

TAIL = 4_096  # bytes of metrics.jsonl that hold its last line
FRESH = 2.0  # seconds for which what was read of a run's metrics is good enough


class Progress(NamedTuple):
    """Runs and steps done of all; ``left`` is the estimate of the seconds still to go, None before any step."""

    runs: int
    failed: int
    of_runs: int
    steps: int
    of_steps: int
    left: float | None


def logged_step(run: Path) -> int:
    """The last step in a run's metrics.jsonl, 0 if there is none; reads the end of the file only."""
    try:
        with (run / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - TAIL, 0))
            lines = file.read().split(b"\n")
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue  # a line that is cut short, or the empty end
    return 0


class Timing:
    """Clock of a pool. ``runs`` are all its runs, ``open_runs`` the directories of those still to be made."""

    def __init__(self, runs: Sequence[tuple[Path, Config]], open_runs: Sequence[Path]) -> None:
        self.slots = 1
        self._task = {path: config.task for path, config in runs}
        self._total = {path: config.training.steps for path, config in runs}
        self._steps = dict(self._total) | {path: logged_step(path) for path in open_runs}
        self._first = dict(self._steps)
        self._left = set(open_runs)
        self._failed = 0
        self._since: dict[Path, float] = {}
        self._spent: dict[Path, float] = {}
        self._read = 0.0

    def begin(self, run: Path) -> None:
        """A try of the run begins."""
        self._since[run] = time.monotonic()

    def end(self, run: Path, failed: bool) -> float:
        """The run has ended; gives the seconds it took here, all tries together."""
        self._pause(run)
        self._left.discard(run)
        self._failed += failed
        self._steps[run] = self._steps[run] if failed else self._total[run]
        if failed:  # nothing of it is still to come
            self._total[run] = self._steps[run]
        return self._spent[run]

    def _pause(self, run: Path) -> None:
        self._spent[run] = self._spent.get(run, 0.0) + time.monotonic() - self._since.pop(run)

    def retry(self, run: Path) -> None:
        """A try has ended, and another one will begin."""
        self._pause(run)

    def progress(self) -> Progress:
        """How far the pool is now."""
        now = time.monotonic()
        if now - self._read > FRESH:
            self._read = now
            for run in self._since:
                self._steps[run] = logged_step(run)
        done = len(self._total) - len(self._left) - self._failed
        steps, of_steps = sum(self._steps.values()), sum(self._total.values())
        return Progress(done, self._failed, len(self._total), steps, of_steps, self._seconds_left(now))

    def _seconds_left(self, now: float) -> float | None:
        if not self._left:
            return 0.0
        taken: dict[str, tuple[float, int]] = {}
        for run in {**self._spent, **self._since}:
            seconds = self._spent.get(run, 0.0) + (now - self._since[run] if run in self._since else 0.0)
            steps = self._steps[run] - self._first[run]
            if steps > 0:
                before = taken.get(self._task[run], (0.0, 0))
                taken[self._task[run]] = (before[0] + seconds, before[1] + steps)
        if not taken:
            return None
        rates = {task: seconds / steps for task, (seconds, steps) in taken.items()}
        usual = sum(rates.values()) / len(rates)
        left = [(self._total[run] - self._steps[run]) * rates.get(self._task[run], usual) for run in self._left]
        return max(sum(left) / self.slots, max(left))
