"""Train into a run directory, and go on with an interrupted run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bimt_tf.config.limits import require_runnable
from bimt_tf.config.resumable import require_resumable
from bimt_tf.config.settings import Config, EliminationConfig
from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.conclude import conclude, measuring, require_no_signal
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.eliminate import budgeted, require_a_loss
from bimt_tf.runs.load import load_run, result_of
from bimt_tf.runs.loggers import check as check_logger
from bimt_tf.runs.loggers import logger
from bimt_tf.runs.state import is_trained
from bimt_tf.runs.stopping import Interrupted, RunFailed, caught_signals
from bimt_tf.runs.trained import Trained
from bimt_tf.runs.watcher import SilentWatcher, Watcher
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training.setup import Start, set_up
from bimt_tf.training.trainer import NonFiniteLoss, Record, Trainer

if TYPE_CHECKING:
    from bimt_tf.training.snapshots import TrainingSnapshot

__all__ = [
    "Interrupted", "RunFailed", "Watcher", "eliminate_run", "free_directory", "resume_run", "run_trainer", "train_run",
]  # fmt: skip


def free_directory(config: Config, parent: Path = Path("runs")) -> Path:
    """The first unused name such as runs/in-context-bimt-seed0, ...-2, ...-3."""
    name = f"{find_task(config.task).name}-{config.method}-seed{config.seed}"
    names = (parent / (name if i == 1 else f"{name}-{i}") for i in range(1, 1_000_000))
    return next(path for path in names if not path.exists() or (path.is_dir() and not any(path.iterdir())))


def train_run(
    config: Config,
    out: Path,
    *,
    overwrite: bool = False,
    loggers: Sequence[str] = (),
    watcher: Watcher | None = None,
    draw: bool = True,
    init_from: Path | None = None,
) -> dict[str, Any]:
    """Train from the start into ``out`` and give summary.json's content.

    Args:
        config: what to train.
        out: the run directory.
        overwrite: whether to replace a run that is there.
        loggers: where records go besides metrics.jsonl: "tensorboard", "wandb".
        watcher: shows the run while it goes on.
        draw: whether to draw the figures and write report.html.
        init_from: a run directory whose weights and layout training starts from, instead of the config's seed.

    Raises:
        InputError: for a directory, device, model or logger that cannot be used; nothing is written then.
        Interrupted: on SIGINT or SIGTERM, after the step and a checkpoint.
        RunFailed: when the loss is not finite, or a file cannot be written.
    """
    require_runnable(config)
    for name in loggers:
        check_logger(name)
    trainer = set_up(config) if init_from is None else _started_from(init_from, config)
    return run_trainer(trainer, out, overwrite=overwrite, loggers=loggers, watcher=watcher, draw=draw)


def run_trainer(
    trainer: Trainer,
    out: Path,
    *,
    overwrite: bool = False,
    loggers: Sequence[str] = (),
    watcher: Watcher | None = None,
    draw: bool = True,
    page: bool | None = None,
) -> dict[str, Any]:
    """Run a trainer that is set up into ``out``; arguments, result and errors as of :func:`train_run`.

    ``page`` says whether to write report.html, where that is not as ``draw`` says.
    """
    for name in loggers:
        check_logger(name)
    if trainer.config.training.eliminate:
        budgeted(trainer.config, trainer.config.elimination)  # what cannot be is said before anything is trained
    run = RunDirectory.create(Path(out), trainer.config, overwrite)
    with run.lock():
        return _go(run, trainer, loggers, watcher or SilentWatcher(), draw, draw if page is None else page)


def resume_run(
    path: Path, *, loggers: Sequence[str] = (), watcher: Watcher | None = None, draw: bool = True
) -> dict[str, Any]:
    """Go on with the run in ``path`` from its newest checkpoint; ends as if it had never stopped.

    A run that is trained is only measured and drawn again.

    Raises: as :func:`train_run`, and InputError for a checkpoint that is damaged or of another model, or a config.yaml
        in which something was changed that the numbers hang on.
    """
    for name in loggers:
        check_logger(name)
    run, watcher = RunDirectory.open(Path(path)), watcher or SilentWatcher()
    config, stored = run.config, run.config_of_checkpoints
    if stored is not None:
        require_resumable(stored, config)
    require_runnable(config)
    with run.lock():
        with _failing_writes(run):
            run.write_format()  # also of a run that was killed before it, or that version 0.1 began
        if not is_trained(run.path):
            return _go(run, set_up(config, run.last_checkpoint()), loggers, watcher, draw, draw)
        seconds = float(run.summary.get("seconds") or _seconds(run))
        with _failing_writes(run), measuring(run):
            trained = load_run(run.path, config.training.device, at="trained")
        with _failing_writes(run):
            return conclude(run, trained, seconds, watcher, draw, draw)


def eliminate_run(
    path: Path,
    settings: EliminationConfig,
    *,
    overwrite: bool = False,
    device: str | None = None,
    watcher: Watcher | None = None,
    draw: bool = True,
) -> dict[str, Any]:
    """Eliminate a run that is trained, in its own directory, and measure and draw what is left; gives the summary.

    An elimination that was stopped goes on if ``settings`` are its own.

    Args:
        path: the run directory.
        settings: how far to go.
        overwrite: whether to replace an elimination that is there.
        device: where to compute; the config's unless given.
        watcher: shows it while it goes on.
        draw: whether to draw the figures and write report.html again.

    Raises:
        InputError: for a run that is not trained, or one with another elimination.
        Interrupted: on SIGINT or SIGTERM; the rounds that were kept stay, and it goes on from them.
        RunFailed: when a file cannot be written.
    """
    run, watcher = RunDirectory.open(Path(path)), watcher or SilentWatcher()
    if not is_trained(run.path):
        raise InputError(f"{path} is not trained to its end: 'bimt resume {path}' goes on with it")
    files, settings = run.elimination, budgeted(run.config, settings)
    if files.begun and not overwrite and (files.ended or files.settings != settings):
        raise InputError(
            f"{path} has an elimination already: give --overwrite to replace it; --at opens any point of it"
        )
    with run.lock(), _failing_writes(run):
        run.write_format()
        trained = load_run(run.path, device or run.config.training.device, at="trained")
        seconds = float(run.summary.get("seconds") or _seconds(run))
        if overwrite or not files.begun:
            require_a_loss(trained, settings)
            files.begin(settings)
        return conclude(run, trained, seconds, watcher, draw, draw)


def _started_from(path: Path, config: Config) -> Trainer:
    result = result_of(RunDirectory.open(Path(path)))
    if result is None:
        raise InputError(f"cannot start from {path}: it has no checkpoint yet")
    try:
        return set_up(config, start=Start(result.weights, result.layout))
    except InputError as error:
        raise InputError(f"cannot start from {path}: {error}") from error


def _seconds(run: RunDirectory) -> float:
    """What training took, by the last checkpoint; 0 if it is gone."""
    checkpoint = run.last_checkpoint()
    return 0.0 if checkpoint is None else checkpoint.seconds


def _go(
    run: RunDirectory, trainer: Trainer, loggers: Sequence[str], watcher: Watcher, draw: bool, page: bool
) -> dict[str, Any]:
    """Train to the end, write the result, then measure and draw it."""
    torch.set_num_threads(trainer.config.training.threads)
    with ExitStack() as stack:
        stack.enter_context(_failing_writes(run))
        run.forget_after(trainer.step)
        caught = stack.enter_context(caught_signals())
        sinks = [logger(name, run.path, trainer.config) for name in loggers]
        for sink in sinks:
            stack.callback(sink.close)

        def on_record(record: Record) -> None:
            run.append(record._asdict())
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
                on_checkpoint=lambda checkpoint: run.save_checkpoint(checkpoint, trainer.config),
                on_snapshot=partial(_save_snapshot, run, watcher) if trainer.config.training.snapshots else None,
                on_note=lambda note: watcher.start(trainer.config, trainer.step, note),
                stop=stop,
            )
        except NonFiniteLoss as error:
            raise RunFailed(f"{error}; {_last_checkpoint(run)}") from error
        if not ended:
            raise Interrupted(caught[0], f"stopped at step {trainer.step}; 'bimt resume {run.path}' goes on")
        run.save_result(trainer.weights(), trainer.bimt.layout.slots)
        trained = Trained(
            trainer.config,
            trainer.model,
            trainer.bimt,
            data=trainer.data,
            task=trainer.task,
            validation=trainer.validation,
        )
        require_no_signal(run, caught)
    with _failing_writes(run):
        return conclude(run, trained, trainer.seconds, watcher, draw, page)


def _save_snapshot(run: RunDirectory, watcher: Watcher, snapshot: TrainingSnapshot) -> None:
    """Write a snapshot; one that cannot be written is told of and left out, as only pictures hang on it."""
    try:
        run.snapshots.save(snapshot)
    except CannotWrite as error:
        watcher.note(f"{error}; the run goes on without the snapshot of step {snapshot.step:,}")


@contextmanager
def _failing_writes(run: RunDirectory) -> Iterator[None]:
    """A file that cannot be written (a full disk, say) ends the run; what was written before is whole."""
    try:
        yield
    except CannotWrite as error:
        text = f"{error}; {_last_checkpoint(run)}; 'bimt resume {run.path}' goes on once there is room"
        raise RunFailed(text) from error


def _last_checkpoint(run: RunDirectory) -> str:
    last = run.last_checkpoint_path()
    return f"the last good checkpoint is {last}" if last else "there is no checkpoint before it"
