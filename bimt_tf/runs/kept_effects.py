"""The effect of every neuron of a run, kept in its interventions.json (answers.py) for exports to come."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from bimt_tf.runs.answers import answers, fingerprint, how_made, keep
from bimt_tf.runs.ask.circuits import EXAMPLES
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["keep_effects", "kept_effects"]

QUESTION = "neuron-effects"


def kept_effects(run: OpenedRun) -> dict[str, list[float]] | None:
    """Stage -> each neuron's effect, if it was kept for this point of the run; None if not.

    Raises:
        InputError: if the file is damaged.
    """
    network = fingerprint(run)
    for one in answers(run.path, "interventions"):
        same = one["made"].get("network") == network  # an elimination made again has the same round and step
        if one["question"] == QUESTION and same and isinstance(one.get("result"), dict):
            return dict(one["result"])
    return None


def keep_effects(run: OpenedRun, effects: Mapping[str, list[float]]) -> Path | None:
    """Keep the effects; None, and a note on stderr, where the run's directory cannot be written."""
    made = how_made(run, part="held-out", examples=min(len(run.held_out.inputs), EXAMPLES))
    asked = {"value": "mean", "tokens": "all"}
    try:
        return keep(run, "interventions", QUESTION, asked, made, effects)
    except CannotWrite as error:
        sys.stderr.write(f"bimt: the effects are not kept: {error}\n")
        return None
