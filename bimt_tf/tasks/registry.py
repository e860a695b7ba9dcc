"""Tasks by name. Adding one is writing its file and naming it here (docs/tasks.md)."""

from __future__ import annotations

from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.base import Task
from bimt_tf.tasks.digits import DIGITS
from bimt_tf.tasks.finetune import FINETUNE
from bimt_tf.tasks.formulas import FORMULAS
from bimt_tf.tasks.groups import MODULAR_ADDITION, S4
from bimt_tf.tasks.in_context import IN_CONTEXT, IN_CONTEXT_SINGULAR
from bimt_tf.tasks.lm import LM
from bimt_tf.tasks.mnist import MNIST
from bimt_tf.tasks.own_model import OWN
from bimt_tf.tasks.transformers import MODULAR_ADDITION_TRANSFORMER, S4_TRANSFORMER
from bimt_tf.tasks.two_moon import TWO_MOON

__all__ = ["COMMANDS", "TASKS", "task", "variant"]

TASKS: dict[str, Task] = {
    t.name: t
    for t in (
        IN_CONTEXT, IN_CONTEXT_SINGULAR, *FORMULAS, TWO_MOON, MODULAR_ADDITION, MODULAR_ADDITION_TRANSFORMER, S4,
        S4_TRANSFORMER, DIGITS, MNIST, LM,
    )
}  # fmt: skip


COMMANDS: dict[str, Task] = {FINETUNE.name: FINETUNE, OWN.name: OWN}
"""Jobs with an entrance of their own (``bimt finetune``, ``bimt_tf.train``): measured as tasks are, not listed."""


def task(name: str) -> Task:
    """The task of this name; raises InputError listing the near ones."""
    if name not in TASKS and name not in COMMANDS:
        raise unknown("task", str(name), TASKS)
    return {**TASKS, **COMMANDS}[name]


def variant(name: str, model: str) -> str:
    """The task ``name`` with another model: NAME-MODEL. A data set and a model make a task.

    Raises:
        InputError: if this task has no such model (lists those it has), or no such task is known.
    """
    task(name)
    models = [other.removeprefix(f"{name}-") for other in TASKS if other.startswith(f"{name}-transformer")]
    if not models:
        raise InputError(f"{name} has one model: it takes no --model, found {model!r}")
    usual = "mlp"  # of all tasks that have another
    if model not in (usual, *models):
        raise unknown(f"model of {name}", model, (usual, *models))
    return name if model == usual else f"{name}-{model}"
