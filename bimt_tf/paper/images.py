"""The runs of Figures 8 and A8 to A11: scikit-learn's digits, and MNIST where its files are. No torch at import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import ELIMINATED, QUICK, Plan, RunKey
from bimt_tf.paper.tables_of_the_paper import Row, row
from bimt_tf.pool.job import Job

__all__ = ["DIGITS", "IMAGE_ROWS", "MNIST", "MNIST_FILES", "file_name", "image_config", "image_jobs", "require_files"]

MNIST_FILES = Path("data/mnist")
"""Where MNIST's files are looked for, from the folder that the command runs in."""

DIGITS = row("digits")
MNIST = Row(
    "mnist", "MNIST", "mnist", "accuracy", DIGITS.paper, DIGITS.paper_q,
    {"data": {"data_dir": str(MNIST_FILES)}}, counted=False, decimals=1,
)  # fmt: skip
IMAGE_ROWS = (DIGITS, MNIST)


def require_files(plan: Plan) -> None:
    """Raise InputError, which says how to get them, if MNIST is asked for and its files are not there."""
    if MNIST in plan.rows and not MNIST_FILES.is_dir():
        raise InputError(
            f"MNIST is not here: put its four IDX files (train-images-idx3-ubyte.gz ...) or mnist.npz into "
            f"{MNIST_FILES}; without --tasks mnist, {plan.exhibit.name} is made from scikit-learn's digits"
        )


def image_config(each: Row, method: str, seed: int, quick: bool, more: Mapping[str, Any] | None = None) -> Config:
    """The settings of a run, those that the tables have unless ``more`` (sections of the config) says otherwise."""
    overrides = {section: dict(values) for section, values in each.overrides.items()}
    for section, values in (more or {}).items():
        overrides.setdefault(section, {}).update(values)
    if method != ELIMINATED:
        overrides.setdefault("training", {})["eliminate"] = False
    if quick:
        steps = make(each.task, each.preset).training.steps // QUICK
        overrides.setdefault("training", {}).update(steps=steps, compile="no")
    return make(each.task, each.preset, method, seed, overrides)


def image_jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """The runs in OUT/ROW/METHOD-seedN, which all exhibits share.

    Raises:
        InputError: if MNIST is asked for and its files are not there.
    """
    require_files(plan)
    rows = {each.name: each for each in plan.rows}
    return {
        key: Job(
            out / key.row / f"{key.method}-seed{key.seed}",
            image_config(rows[key.row], key.method, key.seed, plan.quick),
        )
        for key in plan.keys
    }


def file_name(plan: Plan, each: Row, seed: int) -> str:
    """Of a figure of one row and seed: the exhibit's name, and what tells it from the plan's others."""
    parts = [plan.exhibit.name]
    if each is not DIGITS:
        parts.append(each.name)
    if len(plan.seeds) > 1:
        parts.append(f"seed{seed}")
    return "-".join(parts)
