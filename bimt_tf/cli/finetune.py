"""``bimt finetune``: a pretrained language model, made sparse and local on a text, and given back to transformers."""

from __future__ import annotations

from pathlib import Path

from bimt_tf.cli.arguments import Loggers, Method, NoFigures, Out, Overwrite, Seed
from bimt_tf.cli.options import Overrides, task_command
from bimt_tf.config.limits import require_runnable
from bimt_tf.config.reading import make
from bimt_tf.runs.atomic import require_path

__all__ = ["FINETUNE"]


def _finetune(
    task: str,
    overrides: Overrides,
    *,
    seed: Seed = None,
    method: Method = None,
    out: Out = None,
    overwrite: Overwrite = False,
    no_figures: NoFigures = False,
    log: Loggers = None,
) -> None:
    """Go on training a pretrained language model with a connection cost.

    Writes a run directory; huggingface/ in it is a directory that transformers loads on its own. bimt resume goes on
    with an interrupted run. Values in brackets are defaults.
    """
    for path in ("model", "text"):  # a run is resumed from anywhere
        given = overrides["data"].get(path)
        if given is not None and require_path(Path(given)).expanduser().exists():
            overrides["data"][path] = str(Path(given).expanduser().resolve())
    given = {name: value for name, value in {"seed": seed, "method": method}.items() if value is not None}
    wanted = make(task, overrides=overrides, **given)
    require_runnable(wanted)
    from bimt_tf.cli.console.reports import print_summary
    from bimt_tf.cli.console.run_watch import watcher
    from bimt_tf.runs.execute import free_directory, train_run

    out = out if out is not None else free_directory(wanted)
    with watcher() as shown:
        summary = train_run(
            wanted, out, overwrite=overwrite, loggers=log or (), watcher=shown, draw=not no_figures
        )  # fmt: skip
    print_summary(out, summary)


FINETUNE = task_command("finetune", _finetune, only="finetune")
