"""Train into a run directory, and go on with an interrupted run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch

from bimt_tf.config.settings import Config
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.export_model import save_plain
from bimt_tf.runs.loggers import check as check_logger
from bimt_tf.runs.loggers import logger
from bimt_tf.runs.stopping import Interrupted, RunFailed, caught_signals
from bimt_tf.runs.summary import first_look
from bimt_tf.training.setup import set_up
from bimt_tf.training.trainer import NonFiniteLoss, Record, Trainer

__all__ = ["train_run", "resume_run", "run_trainer", "free_directory", "Interrupted", "RunFailed", "Watcher"]


class Watcher(Protocol):
    """Shows a run while it goes on."""

    def start(self, config: Config, step: int, note: str) -> None:
        """Training begins at ``step``."""
        ...

    def record(self, record: Record) -> None:
        """A step was logged."""
        ...

    def tick(self, step: int) -> None:
        """A step was taken."""
        ...

    def stage(self, text: str) -> None:
        """Something other than training goes on."""
        ...


class SilentWatcher:
    """A watcher that shows nothing."""

    def start(self, config: Config, step: int, note: str) -> None: ...

    def record(self, record: Record) -> None: ...

    def tick(self, step: int) -> None: ...

    def stage(self, text: str) -> None: ...


def free_directory(config: Config, parent: Path = Path("runs")) -> Path:
    """The first unused name such as runs/in-context-bimt-seed0, ...-2, ...-3."""
    name = f"{config.task}-{config.method}-seed{config.seed}"
    names = (parent / (name if i == 1 else f"{name}-{i}") for i in range(1, 1_000_000))
    return next(path for path in names if not path.exists() or not any(path.iterdir()))


def train_run(
    config: Config,
    out: Path,
    *,
    overwrite: bool = False,
    loggers: Sequence[str] = (),
    watcher: Watcher | None = None,
    draw: bool = True,
) -> dict[str, Any]:
    """Train from the start into ``out`` and give summary.json's content; figures are left out unless ``draw``.

    Raises:
        InputError: for a directory, device, model or logger that cannot be used; nothing is written then.
        Interrupted: on SIGINT or SIGTERM, after the step and a checkpoint.
        RunFailed: when the loss is not finite.
    """
    for name in loggers:
        check_logger(name)
    return run_trainer(set_up(config), out, overwrite=overwrite, loggers=loggers, watcher=watcher, draw=draw)


def run_trainer(
    trainer: Trainer,
    out: Path,
    *,
    overwrite: bool = False,
    loggers: Sequence[str] = (),
    watcher: Watcher | None = None,
    draw: bool = True,
) -> dict[str, Any]:
    """Run a trainer that is set up into ``out``; arguments, result and errors as of :func:`train_run`."""
    run = RunDirectory.create(out, trainer.config, overwrite)
    return _go(run, trainer, loggers, watcher or SilentWatcher(), draw)


def resume_run(
    path: Path, *, loggers: Sequence[str] = (), watcher: Watcher | None = None, draw: bool = True
) -> dict[str, Any]:
    """Go on with the run in ``path`` from its newest checkpoint; ends as if it had never stopped.

    Raises: as :func:`train_run`, and InputError for a checkpoint that is damaged or of another model.
    """
    for name in loggers:
        check_logger(name)
    run = RunDirectory.open(path)
    checkpoint = run.last_checkpoint()
    trainer = set_up(run.config, checkpoint)
    return _go(run, trainer, loggers, watcher or SilentWatcher(), draw)


def _go(run: RunDirectory, trainer: Trainer, loggers: Sequence[str], watcher: Watcher, draw: bool) -> dict[str, Any]:
    torch.set_num_threads(trainer.config.training.threads)
    with ExitStack() as stack:
        stack.enter_context(run.lock())
        run.forget_after(trainer.step)
        caught = stack.enter_context(caught_signals())
        sinks = [logger(name, run.path, trainer.config) for name in loggers]
        for sink in sinks:
            stack.callback(sink.close)

        def on_record(record: Record) -> None:
            run.append(record)
            watcher.record(record)
            for sink in sinks:
                sink.log(record)

        def stop() -> bool:
            watcher.tick(trainer.step)
            return bool(caught)

        watcher.stage("preparing")
        try:
            ended = trainer.run(
                on_record=on_record,
                on_checkpoint=run.save_checkpoint,
                on_note=lambda note: watcher.start(trainer.config, trainer.step, note),
                stop=stop,
            )
        except NonFiniteLoss as error:
            last = run.last_checkpoint_path()
            good = f"the last good checkpoint is {last}" if last else "there is no checkpoint before it"
            raise RunFailed(f"{error}; {good}") from error
        if not ended:
            raise Interrupted(caught[0], f"stopped at step {trainer.step}; 'bimt resume {run.path}' goes on")
        watcher.stage("measuring and drawing" if draw else "measuring")
        run.save_result(trainer)
        if trainer.task.pretrained:
            save_plain(trainer, run.path)
        return first_look(run, trainer, draw=draw)
