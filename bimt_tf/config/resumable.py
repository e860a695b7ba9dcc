"""Which settings may be changed between a run's stop and its going on: those that its numbers do not hang on."""

from __future__ import annotations

import dataclasses

from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError

__all__ = ["RESUMABLE", "require_resumable"]

RESUMABLE = frozenset({"training.device", "training.threads", "training.log_every", "training.checkpoint_every"})


def require_resumable(stored: Config, edited: Config) -> None:
    """Raise InputError, naming the first setting that may not change, unless ``stored`` may go on as ``edited``."""
    there, here = _flat(stored), _flat(edited)
    for name in {**there, **here}:
        if name not in RESUMABLE and there.get(name) != here.get(name):
            free = ", ".join(sorted(one.removeprefix("training.") for one in RESUMABLE))
            raise InputError(
                f"{name} is {here.get(name)!r} now, but the run was made with {there.get(name)!r}: a resume may "
                f"change {free} only; 'bimt train {edited.task} --init-from DIR' starts anew from the run's weights"
            )


def _flat(config: Config) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in dataclasses.asdict(config).items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat
