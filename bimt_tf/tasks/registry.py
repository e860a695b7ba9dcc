"""Tasks by name: those listed here, those of installed packages (entry points), and one's own by file or module.

Adding a task to the package is writing its file and naming it here (docs/tasks.md).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from bimt_tf.errors import InputError, unknown
from bimt_tf.tasks.base import Task
from bimt_tf.tasks.digits import DIGITS
from bimt_tf.tasks.finetune import FINETUNE
from bimt_tf.tasks.formulas import FORMULAS
from bimt_tf.tasks.groups import MODULAR_ADDITION, S4
from bimt_tf.tasks.in_context import IN_CONTEXT, IN_CONTEXT_SINGULAR
from bimt_tf.tasks.lm import LM
from bimt_tf.tasks.mnist import MNIST
from bimt_tf.tasks.own import absolute_name, is_own, load_object, load_own, require_task
from bimt_tf.tasks.own_model import OWN
from bimt_tf.tasks.transformers import MODULAR_ADDITION_TRANSFORMER, S4_TRANSFORMER
from bimt_tf.tasks.two_moon import TWO_MOON

__all__ = ["ENTRY_POINTS", "TASKS", "UNLISTED", "all_tasks", "full_name", "task", "variant"]

TASKS: dict[str, Task] = {
    t.name: t
    for t in (
        IN_CONTEXT, IN_CONTEXT_SINGULAR, *FORMULAS, TWO_MOON, MODULAR_ADDITION, MODULAR_ADDITION_TRANSFORMER, S4,
        S4_TRANSFORMER, DIGITS, MNIST, LM,
    )
}  # fmt: skip


UNLISTED: dict[str, Task] = {FINETUNE.name: FINETUNE, OWN.name: OWN}
"""Jobs with an entrance of their own (``bimt finetune``, ``bimt_tf.train``): measured as tasks are, not listed."""

ENTRY_POINTS = "bimt_tf.tasks"
"""The group of entry points under which an installed package names its tasks: NAME = "package.module:TASK"."""


def task(name: str) -> Task:
    """The task of this name: a listed one, an installed package's, or ``my_task.py:TASK``, ``package.module:TASK``.

    Raises:
        InputError: for an unknown name (lists the near ones), or a task of one's own that cannot be loaded: the file is
            missing or does not run, or it holds no such task.
    """
    known = {**TASKS, **UNLISTED}
    if name in known:
        return known[name]
    if is_own(name):
        return load_own(name)
    installed = _installed()
    if name not in installed:
        raise unknown("task", str(name), [*TASKS, *installed])
    return require_task(load_object(installed[name]), f"the entry point {name!r}, {installed[name]},")


def full_name(name: str) -> str:
    """The name to store in a config, good from any folder: the path of a file is absolute in it."""
    return absolute_name(name) if is_own(name) else name


def all_tasks() -> dict[str, Task]:
    """The listed tasks and those of installed packages; one of a package that cannot be loaded is an error.

    Raises:
        InputError: as :func:`task`.
    """
    return {**TASKS, **{name: task(name) for name in _installed() if name not in TASKS}}


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


@cache
def _installed() -> dict[str, str]:
    """Entry point -> ``package.module:TASK``; read once, as it takes some milliseconds."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
