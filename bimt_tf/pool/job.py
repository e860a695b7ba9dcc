"""Jobs: a run that is wanted, how a try of it ended, and whether it is done already. No torch at import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bimt_tf.config.differences import differences
from bimt_tf.config.reading import load
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.runs.claim import holds

__all__ = ["POLL", "End", "Job", "Outcome", "finished"]

POLL = 0.5  # seconds between looks at signals and progress


class Job(NamedTuple):
    """A run that is wanted: its directory, and the config it is made with."""

    path: Path
    config: Config


class Outcome(NamedTuple):
    """What became of a job: the run's summary.json, or None and the reason in one line."""

    job: Job
    summary: dict[str, Any] | None
    error: str | None


class End(NamedTuple):
    """How one try of a job ended: ``kind`` done, failed (a second try would fail as well), or died."""

    job: Job
    kind: Literal["done", "failed", "died"]
    text: str = ""


def finished(job: Job) -> dict[str, Any] | None:
    """summary.json of the run if it is there and has ended, None if it is missing or unfinished.

    Raises:
        InputError: if the directory holds a run of another config (the first difference is named) or foreign files,
            or a file in it cannot be read.
    """
    path = job.path
    if not holds(path, "config.yaml", "a run"):
        return None
    found = load(path / "config.yaml")
    if found != job.config:
        name, there, wanted = next(differences(found, job.config))
        raise InputError(f"{path} holds a run of another config: {name} is {there!r} there, {wanted!r} here")
    try:
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # it is written whole: what is not JSON is no summary of a run
        return None
    except OSError as error:
        raise InputError(f"cannot read {path / 'summary.json'}: {error.strerror}") from error
    return summary if isinstance(summary, dict) else None
