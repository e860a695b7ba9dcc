"""Does a sweep that is killed by kill -9 at any time resume to the same table? Kills at random instants, and compares.

    python -m benchmarks.kill_sweep [--instants 20] [--seed 0] [--kill parent child both] [--out DIR]

A small sweep is run once undisturbed. Then, for every instant and each of

    parent   the sweep's own process; its runs save themselves, and the same command is given again
    child    one of the sweep's other processes, picked at random: a run, or the server that starts runs; the sweep
             goes on by itself
    both     all of them; the same command is given again

a sweep of its own is killed that long after its start (uniform over the time the undisturbed one took). Its table.csv
must be the undisturbed one's but for the columns of times. Linux only (it reads /proc). Exit code 1 if any differs.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

KINDS = ("parent", "child", "both")
TIMES = ("seconds",)  # columns that no two runs share
STEPS = 1_000
PROGRAM = "from bimt_tf.cli.main import main\nif __name__ == '__main__':\n    main()\n"
LIMIT = 300.0  # seconds that any sweep may take


class Round(NamedTuple):
    """What came of one sweep that was killed: whom, when, how many processes, and what is wrong (nothing: "")."""

    kind: str
    instant: float
    killed: int
    wrong: str


def words(steps: int) -> list[str]:
    """The arguments of ``bimt``: a sweep of four small runs, two at once."""
    return [
        "sweep", "two-moon", "--methods", "l1,bimt", "--seeds", "0-1", "--steps", str(steps), "--samples", "100",
        "--hidden", "6", "--compile", "no", "--log-every", "20", "--checkpoint-every", "50", "--workers", "2",
    ]  # fmt: skip


def start(out: Path, steps: int = STEPS) -> subprocess.Popen[bytes]:
    """Begin the sweep in ``out``; what it prints goes to a file beside it."""
    with out.with_suffix(".txt").open("ab") as file:
        command = [sys.executable, "-c", PROGRAM, *words(steps), "--out", str(out)]
        return subprocess.Popen(command, stdout=file, stderr=file)


def finish(sweep: subprocess.Popen[bytes], out: Path) -> str:
    """Wait for the sweep's end; what it said last if it did not end well, "" if it did."""
    code = sweep.wait(LIMIT)
    said = out.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return "" if code == 0 else f"exit code {code}: {said[-1] if said else ''}"


def table(out: Path) -> list[dict[str, str]]:
    """The rows of table.csv without times."""
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, and those have; deepest last."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(after_name[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(0), [])
        found += children
        waiting += children
    return found


def kill(sweep: subprocess.Popen[bytes], kind: str, rng: random.Random) -> int:
    """Kill the sweep's process, one of those below it, or all; gives how many, 0 if the sweep has ended."""
    if sweep.poll() is not None:
        return 0
    os.kill(sweep.pid, signal.SIGSTOP)  # it starts nothing while its processes are listed
    below = descendants(sweep.pid)
    victims = {"parent": [sweep.pid], "child": below and [rng.choice(below)], "both": [sweep.pid, *below]}[kind]
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if kind == "child":
        os.kill(sweep.pid, signal.SIGCONT)
    else:
        sweep.wait()
    return len(victims)


def disturbed(out: Path, kind: str, instant: float, expected: Sequence[dict[str, str]], rng: random.Random) -> Round:
    """Run a sweep, kill it ``instant`` seconds after its start, bring it to its end, and compare its table."""
    sweep = start(out)
    with contextlib.suppress(subprocess.TimeoutExpired):
        sweep.wait(instant)
    killed = kill(sweep, kind, rng)
    if sweep.poll() is not None and killed:
        sweep = start(out)
    return Round(kind, instant, killed, finish(sweep, out) or differing(table(out), expected))


def differing(found: Sequence[dict[str, str]], expected: Sequence[dict[str, str]]) -> str:
    """The first cell in which two tables differ, in words; "" if they do not."""
    if len(found) != len(expected):
        return f"{len(found)} rows instead of {len(expected)}"
    for row, other in zip(found, expected, strict=True):
        for name in {**other, **row}:
            if row.get(name) != other.get(name):
                return f"{name} of {other.get('run')} is {row.get(name)!r} instead of {other.get(name)!r}"
    return ""


def undisturbed(out: Path) -> tuple[list[dict[str, str]], float]:
    """The table of a sweep that nothing disturbs, and the seconds it took."""
    begun = time.monotonic()
    if wrong := finish(start(out), out):
        raise SystemExit(f"the undisturbed sweep failed: {wrong}")
    return table(out), time.monotonic() - begun


def main() -> None:
    """Kill sweeps and say what came of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instants", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=Path, help="keep the sweeps here")
    given = parser.parse_args()
    rng, rounds = random.Random(given.seed), []
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        expected, seconds = undisturbed(out / "undisturbed")
        print(f"undisturbed: {len(expected)} runs in {seconds:.1f} s", flush=True)
        for number in range(given.instants):
            for kind in given.kill:
                one = disturbed(out / f"{kind}-{number}", kind, rng.uniform(0, seconds), expected, rng)
                rounds.append(one)
                what = one.wrong or "the same table"
                print(f"{kind:6} at {one.instant:5.1f} s, {one.killed} killed: {what}", flush=True)
    bad = sum(bool(one.wrong) for one in rounds)
    print(f"{len(rounds) - bad} of {len(rounds)} sweeps resumed to the same table")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
