"""Tasks by name. Adding one is writing its file and naming it here (docs/tasks.md)."""

from __future__ import annotations

from bimt_tf.errors import unknown
from bimt_tf.tasks.base import Data, Probe, Split, Task
from bimt_tf.tasks.digits import DIGITS
from bimt_tf.tasks.formulas import FORMULAS
from bimt_tf.tasks.groups import MODULAR_ADDITION, S4
from bimt_tf.tasks.in_context import IN_CONTEXT, IN_CONTEXT_SINGULAR
from bimt_tf.tasks.mnist import MNIST
from bimt_tf.tasks.two_moon import TWO_MOON

__all__ = ["TASKS", "task", "Task", "Data", "Split", "Probe"]

TASKS: dict[str, Task] = {
    t.name: t for t in (IN_CONTEXT, IN_CONTEXT_SINGULAR, *FORMULAS, TWO_MOON, MODULAR_ADDITION, S4, DIGITS, MNIST)
}


def task(name: str) -> Task:
    """The task of this name; raises InputError listing the near ones."""
    if name not in TASKS:
        raise unknown("task", str(name), TASKS)
    return TASKS[name]
