"""What an elimination fits of a task: its training loss."""

from __future__ import annotations

from typing import Any

from bimt_tf.tasks.base import Task
from bimt_tf.training.elimination.objective import CrossEntropy, Divergence, Loss, Scalar, Squares

__all__ = ["task_loss"]

KINDS = {"squared": Squares, "cross_entropy": CrossEntropy, "divergence": Divergence, "other": Scalar}


def task_loss(task: Task, options: Any) -> Loss:
    """The training loss of a task, as ``eliminate`` takes it."""
    fitted = task.fitted(options)
    return KINDS[fitted.kind](fitted.read)
