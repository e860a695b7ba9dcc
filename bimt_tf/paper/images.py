"""The runs of Figures 8 and A8 to A11: scikit-learn's digits, and MNIST where its files are. No torch at import."""

from __future__ import annotations

from pathlib import Path

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import Plan, RunKey
from bimt_tf.paper.tables_of_the_paper import Row, row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.pool.job import Job

__all__ = ["DIGITS", "IMAGE_ROWS", "MNIST", "MNIST_FILES", "file_name", "image_jobs", "require_files"]

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


def image_jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """The runs in OUT/ROW/METHOD-seedN, which all exhibits share; quick ones apart.

    Raises:
        InputError: if MNIST is asked for and its files are not there.
    """
    require_files(plan)
    return circuit_jobs(plan, out, docs)


def file_name(plan: Plan, each: Row, seed: int) -> str:
    """Of a figure of one row and seed: the exhibit's name, and what tells it from the plan's others."""
    parts = [plan.exhibit.name]
    if each is not DIGITS:
        parts.append(each.name)
    if len(plan.seeds) > 1:
        parts.append(f"seed{seed}")
    return "-".join(parts)
