"""The commands of ``bimt``, in the groups in which its help shows them. Loading this takes a fifth of a second."""

from __future__ import annotations

from typing import Any

from cyclopts import App, Group

from bimt_tf import __version__
from bimt_tf.cli.ablate import ablate
from bimt_tf.cli.align import align
from bimt_tf.cli.animate import animate
from bimt_tf.cli.arguments import REPEATED
from bimt_tf.cli.compare import compare
from bimt_tf.cli.edges import edges
from bimt_tf.cli.eliminate import eliminate
from bimt_tf.cli.export import export
from bimt_tf.cli.finetune import FINETUNE
from bimt_tf.cli.formula import formula
from bimt_tf.cli.group import group
from bimt_tf.cli.interchange import interchange
from bimt_tf.cli.list import list_runs
from bimt_tf.cli.minimal_set import minimal_set
from bimt_tf.cli.modules import modules
from bimt_tf.cli.probe import probe
from bimt_tf.cli.probe_map import probe_map
from bimt_tf.cli.prune import prune
from bimt_tf.cli.report import report
from bimt_tf.cli.reproduce import reproduce
from bimt_tf.cli.resume import resume
from bimt_tf.cli.share import share
from bimt_tf.cli.show import show
from bimt_tf.cli.sweep import SWEEP
from bimt_tf.cli.tasks import tasks
from bimt_tf.cli.train import TRAIN
from bimt_tf.cli.view import view
from bimt_tf.cli.wire import wire

__all__ = ["COMMANDS", "bimt"]

COMMANDS: dict[str, dict[str, Any]] = {
    "Train": {
        "tasks": tasks,
        "train": TRAIN,
        "resume": resume,
        "eliminate": eliminate,
        "finetune": FINETUNE,
        "wire": wire,
    },
    "Runs": {
        "list": list_runs,
        "show": show,
        "view": view,
        "report": report,
        "compare": compare,
        "animate": animate,
        "export": export,
        "share": share,
    },
    "Questions": {
        "probe": probe,
        "probe-map": probe_map,
        "ablate": ablate,
        "interchange": interchange,
        "minimal-set": minimal_set,
        "edges": edges,
        "prune": prune,
        "modules": modules,
        "formula": formula,
        "group": group,
        "align": align,
    },  # fmt: skip
    "Many runs": {"sweep": SWEEP, "reproduce": reproduce},
}
"""Group -> name -> command: a function, or an app where its options depend on its task. Help keeps this order."""


def _app() -> App:
    app = App(
        name="bimt",
        help="Train small networks whose circuits can be seen (Brain-Inspired Modular Training).",
        version=f"bimt {__version__}",
        help_flags=["--help", "-h"],
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        default_parameter=REPEATED,
    )
    for row, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=row)
        for place, (name, command) in enumerate(commands.items()):
            if isinstance(command, App):
                command.group, command.sort_key = group, place
                app.command(command)
            else:
                app.command(command, name=name, group=group, sort_key=place)
    return app


bimt = _app()
