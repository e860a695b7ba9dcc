"""Train into a run directory, and go on with an interrupted run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from bimt_tf.config.limits import require_runnable
from bimt_tf.config.resumable import require_resumable
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.draw import draw as draw_figure
from bimt_tf.runs.draw import figures_of
from bimt_tf.runs.export_model import save_plain
from bimt_tf.runs.figure_files import image_of
from bimt_tf.runs.load import load_run, result_of
from bimt_tf.runs.loggers import check as check_logger
from bimt_tf.runs.loggers import logger
from bimt_tf.runs.state import is_trained
from bimt_tf.runs.stopping import Interrupted, RunFailed, caught_signals, raised_signals
from bimt_tf.runs.summary import measure
from bimt_tf.runs.trained import Trained
from bimt_tf.runs.watcher import SilentWatcher, Watcher
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training.setup import Start, set_up
from bimt_tf.training.trainer import NonFiniteLoss, Record, Trainer

__all__ = ["train_run", "resume_run", "run_trainer", "free_directory", "Interrupted", "RunFailed", "Watcher"]


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
    """Train from the start into ``out`` and give summary.json's content; figures are left out unless ``draw``.

    Args:
        config: what to train.
        out: the run directory.
        overwrite: whether to replace a run that is there.
        loggers: where records go besides metrics.jsonl: "tensorboard", "wandb".
        watcher: shows the run while it goes on.
        draw: whether to draw the figures.
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
) -> dict[str, Any]:
    """Run a trainer that is set up into ``out``; arguments, result and errors as of :func:`train_run`."""
    for name in loggers:
        check_logger(name)
    run = RunDirectory.create(Path(out), trainer.config, overwrite)
    with run.lock():
        return _go(run, trainer, loggers, watcher or SilentWatcher(), draw)


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
            return _go(run, set_up(config, run.last_checkpoint()), loggers, watcher, draw)
        seconds = float(run.summary.get("seconds") or _seconds(run))
        with _failing_writes(run), _measuring(run):
            return _conclude(run, load_run(run.path, config.training.device), seconds, watcher, draw)


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


def _go(run: RunDirectory, trainer: Trainer, loggers: Sequence[str], watcher: Watcher, draw: bool) -> dict[str, Any]:
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
                on_note=lambda note: watcher.start(trainer.config, trainer.step, note),
                stop=stop,
            )
        except NonFiniteLoss as error:
            raise RunFailed(f"{error}; {_last_checkpoint(run)}") from error
        if not ended:
            raise Interrupted(caught[0], f"stopped at step {trainer.step}; 'bimt resume {run.path}' goes on")
        run.save_result(trainer.weights(), trainer.bimt.layout.slots)
        with _measuring(run, caught):
            trained = Trained(trainer.config, trainer.model, trainer.bimt, data=trainer.data, task=trainer.task)
            return _conclude(run, trained, trainer.seconds, watcher, draw)


def _conclude(run: RunDirectory, trained: Trained, seconds: float, watcher: Watcher, draw: bool) -> dict[str, Any]:
    """Measure a trained network, draw it if asked to, and write what was found; summary.json comes last."""
    watcher.stage("measuring and drawing" if draw else "measuring")
    if trained.task.pretrained:
        save_plain(trained, run.path)
    summary, probes = measure(trained, seconds)
    records = run.records()
    for name in figures_of(trained, summary) if draw else ():
        if name == "curves" and not records:  # metrics.jsonl was removed
            continue
        figure = draw_figure(trained, name, records=records, summary=summary)
        for suffix in ("png", "pdf"):
            run.write_figure(f"{name}.{suffix}", image_of(figure, suffix))
    run.write_summary(summary, probes)
    return summary


@contextmanager
def _measuring(run: RunDirectory, caught: Sequence[int] = ()) -> Iterator[None]:
    """While a trained network is measured: a signal (also one that came before) ends it at once."""
    message = f"{run.path} is trained, but not measured; 'bimt resume {run.path}' measures and draws it"
    if caught:
        raise Interrupted(caught[0], message)
    with raised_signals(message):
        yield


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
