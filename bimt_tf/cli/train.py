"""``bimt train TASK``: train into a run directory, then measure and draw the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import HELP_GROUPS, Loggers, Method, NoFigures, Out, Overwrite, Preset, Seed
from bimt_tf.cli.options import Overrides, task_command
from bimt_tf.config import reading
from bimt_tf.config.limits import require_runnable
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import full_name

__all__ = ["TRAIN"]


def _train(
    task: str,
    overrides: Overrides,
    *,
    config: Annotated[Path | None, Parameter(group=HELP_GROUPS["Task"], help="a config.yaml to start from")] = None,
    preset: Preset = None,
    seed: Seed = None,
    method: Method = None,
    out: Out = None,
    overwrite: Overwrite = False,
    init_from: Annotated[
        Path | None,
        Parameter(group=HELP_GROUPS["Task"], help="a run directory: start from its weights and layout, at step 0"),
    ] = None,
    no_figures: NoFigures = False,
    log: Loggers = None,
) -> None:
    """Train TASK into a run directory, then measure and draw the network.

    Values in brackets are what the first preset says; config.yaml in the run directory shows what was used.
    """
    wanted = _config(task, overrides, config, preset, seed, method)
    require_runnable(wanted)
    from bimt_tf.cli.console.reports import print_summary
    from bimt_tf.cli.console.run_watch import watcher
    from bimt_tf.runs.execute import free_directory, train_run

    out = out if out is not None else free_directory(wanted)
    with watcher() as shown:
        summary = train_run(
            wanted, out, overwrite=overwrite, loggers=log or (), watcher=shown, draw=not no_figures,
            init_from=init_from,
        )  # fmt: skip
    print_summary(out, summary)


def _config(
    task: str, overrides: Overrides, file: Path | None, preset: str | None, seed: int | None, method: str | None
) -> Config:
    """The config that the options give, over a file's if there is one."""
    heads = {"preset": preset, "seed": seed, "method": method}
    if file is not None:
        base = reading.load(file)
        if base.task != full_name(task):
            raise InputError(f"config {file} is of task {base.task!r}, not {task!r}")
        if preset is not None:
            raise InputError("--preset and --config both say where to start: give one of them")
        complete = dataclasses.asdict(base)
        overrides = {section: reading.overlaid(complete[section], overrides[section]) for section in overrides}
        heads = {name: complete[name] if value is None else value for name, value in heads.items()}
    given = {name: value for name, value in heads.items() if value is not None}
    return reading.make(task, overrides=overrides, **given)  # type: ignore[arg-type]  # make judges them


TRAIN = task_command("train", _train)
