"""``bimt tasks``: what can be trained."""

from __future__ import annotations

from bimt_tf.cli.arguments import AsJson
from bimt_tf.tasks.registry import all_tasks

__all__ = ["tasks"]


def tasks(*, json: AsJson = False) -> None:
    """List the tasks: names, what they are, and the presets of their settings (the first is the default).

    A task of your own is given by its file, as in bimt train my_task.py:TASK, or by an installed package's entry point
    in the group bimt_tf.tasks.
    """
    from bimt_tf.cli.console.reports import print_json, print_tasks

    found = [{"name": name, "summary": one.summary, "presets": list(one.presets)} for name, one in all_tasks().items()]
    if json:
        print_json(found)
    else:
        print_tasks(found)
