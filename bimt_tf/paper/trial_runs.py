"""The runs of figures that are made of trained circuits: shared with the tables, but for trials. No torch at import.

A quick run is not eliminated: the elimination of a network of a twentieth of the steps takes minutes, for it begins
with nearly all weights. So quick runs lie in folders of their own, OUT/EXHIBIT/ROW/METHOD-seedN.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config
from bimt_tf.paper.exhibit import ELIMINATED, QUICK, Plan, RunKey
from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.pool.job import Job

__all__ = ["circuit_jobs", "config_of"]


def circuit_jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """The runs in OUT/ROW/METHOD-seedN, which all exhibits share; quick ones apart."""
    rows = {each.name: each for each in plan.rows}
    folder = out / plan.exhibit.name if plan.quick else out
    return {
        key: Job(
            folder / key.row / f"{key.method}-seed{key.seed}",
            config_of(rows[key.row], key.method, key.seed, plan.quick),
        )
        for key in plan.keys
    }


def config_of(each: Row, method: str, seed: int, quick: bool, more: Mapping[str, Any] | None = None) -> Config:
    """The settings of a run: those of the tables, with ``more`` (sections of a config) on top."""
    overrides = {section: dict(values) for section, values in each.overrides.items()}
    for section, values in (more or {}).items():
        overrides.setdefault(section, {}).update(values)
    if method != ELIMINATED or quick:
        overrides.setdefault("training", {})["eliminate"] = False
    if quick:
        steps = make(each.task, each.preset).training.steps // QUICK
        overrides.setdefault("training", {}).update(steps=steps, compile="no")
    return make(each.task, each.preset, method, seed, overrides)
