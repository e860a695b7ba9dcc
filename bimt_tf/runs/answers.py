"""Answers that last: what was asked of a run, kept in its directory with how it was made.

``probes.json``, ``interventions.json``, ``modules.json`` and ``formulas.json`` hold ``{"answers": [...]}``, one entry
an answer:

    question: "interchange", "minimal-set", ...;
    asked: the arguments it was asked with, defaults filled in;
    made: version of bimt_tf, seed of the run, point of its elimination, number of examples ... (:func:`how_made`);
    result: what was found, as plain numbers, lists and dicts.

Asked the same again, an answer takes the place of the earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bimt_tf import __version__
from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.read import read_object

__all__ = ["Kind", "answers", "how_made", "keep"]

Kind = Literal["probes", "interventions", "modules", "formulas"]
"""The files, by their names without .json; probes.json holds the task's own probes beside the answers."""

REMEDY = "remove it: what it holds can be asked again"


def how_made(run: OpenedRun, **more: Any) -> dict[str, Any]:
    """Version, seed and point of a run, and what else is given: the examples' part and number, a sampler's seed."""
    return {
        "bimt_tf": __version__,
        "task": run.config.task,
        "seed": run.config.seed,
        "step": run.step,
        "round": run.round_number,
        "weights": run.active_weights,
        **more,
    }


def keep(
    run: OpenedRun, kind: Kind, question: str, asked: Mapping[str, Any], made: Mapping[str, Any], result: Any
) -> Path:
    """Write an answer into the run's directory; returns the file.

    Raises:
        InputError: if the file is damaged or cannot be written.
    """
    entry = {"question": question, "asked": plain(asked), "made": plain(made), "result": plain(result)}
    path = run.path / f"{kind}.json"
    earlier = [one for one in answers(run.path, kind) if _key(one) != _key(entry)]
    others = read_object(path, REMEDY) if path.exists() else {}
    write_atomically(path, (json.dumps({**others, "answers": [*earlier, entry]}, indent=1) + "\n").encode())
    return path


def answers(directory: Path, kind: Kind) -> list[dict[str, Any]]:
    """The answers that a run's directory keeps, oldest first; [] where there are none.

    Raises:
        InputError: if the file is damaged.
    """
    path = directory / f"{kind}.json"
    if not path.exists():
        return []
    found = read_object(path, REMEDY).get("answers", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) and _key(one) for one in found):
        raise InputError(f"{path} is damaged: it holds no list of answers; {REMEDY}")
    return found


def _key(entry: Mapping[str, Any]) -> str:
    """What was asked, and of which network; "" of what is no answer."""
    made = entry.get("made")
    if not isinstance(made, dict) or "question" not in entry or "asked" not in entry:
        return ""
    return json.dumps([entry["question"], entry["asked"], made.get("round")], sort_keys=True)
