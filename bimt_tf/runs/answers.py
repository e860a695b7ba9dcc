"""Answers that last: what was asked of a run, kept in its directory with how it was made.

``probes.json``, ``interventions.json``, ``modules.json`` and ``formulas.json`` hold ``{"answers": [...]}``, one entry
an answer:

    question: "interchange", "minimal-set", ...;
    asked: the arguments it was asked with, defaults filled in;
    made: version of bimt_tf, seed of the run, point of its elimination, a fingerprint of the network's weights, number
        of examples ... (:func:`how_made`);
    result: what was found, as plain numbers, lists and dicts.

Asked the same again of the same network, an answer takes the place of the earlier one. Commands that answer at the
same time wait for each other, so that none loses the other's answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from bimt_tf import __version__
from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite, write_atomically
from bimt_tf.runs.lock import lock_answers
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.read import read_object

__all__ = ["Kind", "answers", "fingerprint", "how_made", "keep"]

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
        "network": fingerprint(run),
        **more,
    }


def fingerprint(run: OpenedRun) -> str:
    """Tells a network from another of the same round and step, as an elimination that was made again gives: 16 digits.

    The beginning of the SHA-256 of all values of its state, in the order of their names.
    """
    told = hashlib.sha256()
    for name, value in sorted(run.model.state_dict().items()):
        told.update(name.encode())
        told.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return told.hexdigest()[:16]


def keep(
    run: OpenedRun, kind: Kind, question: str, asked: Mapping[str, Any], made: Mapping[str, Any], result: Any
) -> Path:
    """Write an answer into the run's directory; returns the file.

    Raises:
        InputError: if the file is damaged or cannot be written.
    """
    entry = {"question": question, "asked": plain(asked), "made": plain(made), "result": plain(result)}
    path = run.path / f"{kind}.json"
    if run.path.is_file():
        raise CannotWrite(f"{run.path} is a ZIP file: unpacked, its folder keeps answers")
    with lock_answers(run.path):
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
    of = [made.get(name) for name in ("round", "step", "network")]
    return json.dumps([entry["question"], entry["asked"], of], sort_keys=True)
