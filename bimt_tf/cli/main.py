"""The command line, ``bimt``. It has no science: it reads options, calls experiments, prints what they give.

A mistake of the user's is one line on stderr and exit code 2; a run that cannot go on 1; a signal 128 + its number.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bimt_tf import __version__
from bimt_tf.cli.finetune import finetune
from bimt_tf.cli.options import config_options, overrides_of
from bimt_tf.cli.reproduce import reproduce
from bimt_tf.cli.sweep import sweep
from bimt_tf.config import reading, settings
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import TASKS, variant

if TYPE_CHECKING:
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bimt")
def bimt() -> None:
    """Train small networks whose circuits can be seen (Brain-Inspired Modular Training)."""


@bimt.command(epilog="Tasks: " + "; ".join(f"{t.name}: {t.summary}" for t in TASKS.values()) + ".")
@click.argument("task")
@click.option("--model", help="what learns it, for tasks with a choice: mlp (default) or transformer")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="a config.yaml to start from")
@click.option("--preset", help="settings to start from: best (default), paper, notebook")
@click.option("--out", type=click.Path(path_type=Path), help="run directory [runs/TASK-METHOD-seedN]")
@click.option("--overwrite", is_flag=True, help="replace the run in --out")
@click.option("--seed", type=int, help="of weights, data and batches [0]")
@click.option("--method", help="vanilla, l1, l1-local, l1-swap or bimt [bimt]")
@click.option("--log", "loggers", multiple=True, help="also log to tensorboard or wandb (repeatable)")
def train(
    task: str,
    model: str | None,
    config_file: Path | None,
    preset: str | None,
    out: Path | None,
    overwrite: bool,
    seed: int | None,
    method: str | None,
    loggers: Sequence[str],
    **given: Any,
) -> None:
    """Train TASK into a run directory, then measure and draw the network.

    Values in brackets are defaults; the task's preset may say otherwise (config.yaml shows what was used).
    """
    config = _config(task if model is None else variant(task, model), config_file, preset, seed, method, given)
    from bimt_tf.runs.execute import free_directory, train_run

    out = out if out is not None else free_directory(config)
    with _watcher() as watcher:
        summary = train_run(config, out, overwrite=overwrite, loggers=loggers, watcher=watcher)
    _say_result(out, summary)


config_options(train)
bimt.add_command(finetune)
bimt.add_command(sweep)
bimt.add_command(reproduce)


def _config(
    task: str, file: Path | None, preset: str | None, seed: int | None, method: str | None, given: dict[str, Any]
) -> settings.Config:
    overrides = overrides_of(task, given)
    named = {"preset": preset, "seed": seed, "method": method}
    heads: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if file is not None:
        base = reading.load(file)
        if base.task != task:
            raise InputError(f"config {file} is of task {base.task!r}, not {task!r}")
        if preset is not None:
            raise InputError("--preset and --config both say where to start: give one of them")
        complete = dataclasses.asdict(base)
        overrides = {section: {**complete[section], **overrides[section]} for section in overrides}
        heads = {name: complete[name] for name in ("preset", "seed", "method")} | heads
    return reading.make(task, **heads, overrides=overrides)


@bimt.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--log", "loggers", multiple=True, help="also log to tensorboard or wandb (repeatable)")
def resume(directory: Path, loggers: Sequence[str]) -> None:
    """Go on with the interrupted run in DIRECTORY; it ends as if it had never stopped."""
    from bimt_tf.runs.execute import resume_run

    with _watcher() as watcher:
        summary = resume_run(directory, loggers=loggers, watcher=watcher)
    _say_result(directory, summary)


@bimt.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--hook", help="where to look [what the task's first look probes]")
@click.option("--target", help="what to look for: a latent of the task [what the task's first look probes]")
@click.option("--position", type=int, help="token, from 0; negative from the end [every token]")
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of tables")
def probe(directory: Path, hook: str | None, target: str | None, position: int | None, as_json: bool) -> None:
    """Which neurons of the trained network in DIRECTORY hold TARGET (held-out R2)."""
    run = _finished(directory)
    results = run.probe(hook, position, target)
    target = target or run.task.probes(run.config.data)[0].target
    if as_json:
        click.echo(json.dumps([result.as_dict() for result in results], indent=2))
        return
    from bimt_tf.cli.console.reports import print_probe

    for result in results:
        print_probe(result, target)


@bimt.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--hook", help="where to knock neurons out [what the task's first look probes]")
@click.option("--neurons", help="numbers to knock out together, e.g. 3,17 [each in turn]")
def ablate(directory: Path, hook: str | None, neurons: str | None) -> None:
    """How the test loss of the network in DIRECTORY rises when neurons are set to their mean."""
    from bimt_tf.cli.console.reports import print_ablation

    try:
        chosen = [int(part) for part in neurons.split(",")] if neurons else []
    except ValueError as error:
        raise InputError(f"--neurons takes numbers such as 3,17, found {neurons!r}") from error
    run = _finished(directory)
    found = run.ablate(hook, chosen)
    print_ablation(found, hook or run.task.probes(run.config.data)[0].hook, chosen)


@bimt.command()
@click.argument("directory", type=click.Path(path_type=Path))
def prune(directory: Path) -> None:
    """Weights left against test loss as small weights of the network in DIRECTORY are cut (nothing is written)."""
    from bimt_tf.cli.console.reports import print_pruning

    print_pruning(_finished(directory).prune())


@bimt.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--format", "form", default="graphml", show_default=True, help="graphml, gexf or json")
@click.option("--residual", default="shared", show_default=True, help="residual stream: shared, or unrolled by depth")
@click.option("--out", type=click.Path(path_type=Path), help="file to write [DIRECTORY/graph.FORMAT]")
def export(directory: Path, form: str, residual: str, out: Path | None) -> None:
    """Write the connection graph of the network in DIRECTORY for other tools."""
    out = out if out is not None else directory / f"graph.{form}"
    _finished(directory).export(out, form, residual)  # type: ignore[arg-type]  # checked there
    click.echo(f"graph: {out}")


def _finished(directory: Path) -> FinishedRun:
    from bimt_tf.runs.load import load_run

    return load_run(directory)


def _watcher() -> Any:
    from bimt_tf.cli.console.run_watch import watcher

    return watcher()


def _say_result(out: Path, summary: dict[str, Any]) -> None:
    from bimt_tf.cli.console.reports import print_summary

    print_summary(out, summary)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``bimt``; ends the process with the exit codes of the module's docstring."""
    try:
        code = bimt.main(args=None if arguments is None else list(arguments), prog_name="bimt", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 2
    except (click.ClickException, InputError) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        code = _fail(text, 2)
    except (click.Abort, KeyboardInterrupt):
        code = _fail("interrupted", 128 + signal.SIGINT)
    except Exception as error:
        from bimt_tf.runs.execute import Interrupted, RunFailed

        if isinstance(error, Interrupted):
            code = _fail(str(error), 128 + error.signum)
        elif isinstance(error, RunFailed):
            code = _fail(str(error), 1)
        else:
            raise
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int) -> int:
    click.echo(f"bimt: {' '.join(text.split())}", err=True)
    return code


if __name__ == "__main__":
    main()
