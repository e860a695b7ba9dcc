"""Which settings may be changed between a run's stop and its going on: those that its numbers do not hang on."""

from __future__ import annotations

import dataclasses

from bimt_tf.config.differences import differences
from bimt_tf.config.settings import Config, TrainingConfig
from bimt_tf.errors import InputError

__all__ = ["RESUMABLE", "require_resumable"]

RESUMABLE = frozenset(
    f"training.{field.name}" for field in dataclasses.fields(TrainingConfig) if field.metadata.get("resumable")
)
"""Dotted names of the settings that a resume may change; the fields' metadata in settings.py says which."""


def require_resumable(stored: Config, edited: Config) -> None:
    """Raise unless a run made with ``stored`` may go on with ``edited``.

    Raises:
        InputError: names the first setting that may not change, and how to start anew from the run's weights.
    """
    for one in differences(stored, edited):
        if one.name not in RESUMABLE:
            free = ", ".join(sorted(name.removeprefix("training.") for name in RESUMABLE))
            raise InputError(
                f"{one.name} is {one.wanted!r} now, but the run was made with {one.found!r}: a resume may change "
                f"{free} only; 'bimt train {edited.task} --init-from DIR' starts anew from the run's weights"
            )
