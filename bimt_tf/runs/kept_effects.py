"""The effect of every neuron of a run, kept in its interventions.json (answers.py) for exports to come."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.answers import answers, fingerprint, how_made
from bimt_tf.runs.ask.circuits import EXAMPLES
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["ASKED", "QUESTION", "effects_made", "kept_effects"]

QUESTION = "neuron-effects"
ASKED = {"value": "mean", "tokens": "all"}
"""Of the answer: what it is called, and what it was asked with."""


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


def effects_made(run: OpenedRun) -> dict[str, Any]:
    """How the effects of a run are made, as an answer says it."""
    return how_made(run, part="held-out", examples=min(len(run.held_out.inputs), EXAMPLES))
