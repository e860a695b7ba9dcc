"""The runs under a folder, told from their small files: quick for a thousand of them. No torch at import."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import require_path
from bimt_tf.runs.directory import OWNED, RunDirectory
from bimt_tf.runs.state import state_of

__all__ = ["RunRow", "run_rows"]

_HEADS = re.compile(r"^(task|method|seed|  steps): (\S+)$", re.MULTILINE)


class RunRow(NamedTuple):
    """One run. What is not known (yet) is None; a run that cannot be read says why in ``state``.

    ``loss`` is the held-out loss, ``weights`` the active weights, ``q`` the modularity with a shared residual stream;
    of a run that has not ended they are those of its last logged step. ``when``: local time of the last change.
    """

    path: str
    task: str | None
    method: str | None
    seed: int | None
    steps: int | None
    state: str
    loss: float | None
    weights: int | None
    q: float | None
    when: str


def run_rows(folder: str | Path) -> list[RunRow]:
    """The runs under a folder (or the run that it is), by path.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(folder)
    if not require_path(folder).is_dir():
        raise InputError(f"there is no folder {folder}")
    return [_row(path) for path in sorted(_runs(folder))]


def _runs(folder: Path) -> Iterator[Path]:
    """Directories with a config.yaml; links to directories are followed, each directory once."""
    waiting, seen = [folder], set()
    while waiting:
        path = waiting.pop()
        if (real := os.path.realpath(path)) in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as entries:
                inside = {entry.name: entry for entry in entries}
        except OSError:  # a folder that may not be read holds no run that could be
            continue
        if "config.yaml" in inside:
            yield path
            continue
        waiting += [path / n for n, entry in inside.items() if not n.startswith(".") and _is_dir(entry)]


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _row(path: Path) -> RunRow:
    when = _when(path)
    heads: dict[str, Any] = dict.fromkeys(("task", "method", "seed", "steps"))
    try:
        directory = RunDirectory.open(path)
        heads = _heads(directory)
        state = state_of(path, heads["steps"]).text
        summary = directory.summary
        if not summary and (records := directory.records()):
            summary = {"test_loss": records[-1].get("test_loss"), "active_weights": records[-1].get("active")}
    except InputError as error:
        return RunRow(str(path), **heads, state=str(error), loss=None, weights=None, q=None, when=when)
    return RunRow(
        str(path),
        **heads,
        state=state,
        loss=summary.get("test_loss"),
        weights=summary.get("active_weights"),
        q=summary.get("modularity_shared"),
        when=when,
    )


def _heads(directory: RunDirectory) -> dict[str, Any]:
    """Task, method, seed and steps of a config: by their lines as they are written, else by reading all of it."""
    try:
        found = dict(_HEADS.findall((directory.path / "config.yaml").read_text(encoding="utf-8")))
        if len(found) == 4:
            whole = {"seed": int(found["seed"]), "steps": int(found["  steps"])}
            return {"task": found["task"], "method": found["method"], **whole}
    except (OSError, ValueError):
        pass
    config = directory.config
    return {"task": config.task, "method": config.method, "seed": config.seed, "steps": config.training.steps}


def _when(path: Path) -> str:
    """When the newest of the run's files was written, to the second."""
    times = []
    for name in (".", *OWNED):
        try:
            times.append((path / name).stat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(max(times, default=0.0)).isoformat(" ", "seconds")
