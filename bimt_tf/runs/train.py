"""``bimt_tf.train``: our training loop for a model and data of one's own, in memory or into a run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bimt_tf.adapters.families import parameters
from bimt_tf.analysis.active import active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.config.limits import require_runnable
from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config, EliminationConfig, GeometryConfig, TrainingConfig
from bimt_tf.config.values import checked
from bimt_tf.core.geometry import Geometry
from bimt_tf.errors import InputError, unknown
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.eliminate import budget_in_words, eliminate_in_memory
from bimt_tf.runs.elimination_files import rows_of
from bimt_tf.runs.execute import run_trainer
from bimt_tf.runs.own_data import OwnData, OwnExamples, examples_of, require_dtype, require_finite
from bimt_tf.runs.progress import ProgressBar
from bimt_tf.runs.stopping import RunFailed
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.own_model import OWN
from bimt_tf.training.device import DTYPES, find_device, model_on
from bimt_tf.training.setup import assemble, bimt_of
from bimt_tf.training.trainer import NonFiniteLoss, Record, Trainer

__all__ = ["TrainedModel", "train"]

Loss = Literal["squared", "cross_entropy"] | Callable[[Tensor, Tensor], Tensor]

GEOMETRY = tuple(field.name for field in dataclasses.fields(GeometryConfig))
TRAINING = tuple(field.name for field in dataclasses.fields(TrainingConfig))
ELIMINATION = tuple(field.name for field in dataclasses.fields(EliminationConfig))
OF_A_BIMT = (*GEOMETRY, "reduction", "fixed")  # settings that a BIMT was made with


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What :func:`train` gives back.

    ``model`` is the model that was given, trained; ``bimt`` its wiring, geometry and layout; ``metrics`` one dict a
    logged step (step, loss, test_loss, cost, lam, lr, active); ``test`` and ``train`` the numbers at the end on the
    held-out examples and on those trained on (of a Dataset or DataLoader, on one batch); ``active_weights`` and
    ``total_weights`` count the weights of connections; ``elimination`` has one dict a round of the elimination, if
    there was one (``eliminate=True``); ``path`` is the run directory, None for a run in memory.
    """

    model: nn.Module
    bimt: BIMT
    config: Config
    metrics: list[dict[str, Any]]
    test: dict[str, float]
    train: dict[str, float]
    active_weights: int
    total_weights: int
    seconds: float
    elimination: list[dict[str, Any]]
    path: Path | None

    def __repr__(self) -> str:
        config = self.config
        figures = ", ".join(f"{name} {value:.3g}" for name, value in self.test.items())
        where = f", in {self.path}" if self.path is not None else ""
        return (
            f"TrainedModel({type(self.model).__name__} by {config.method}, seed {config.seed}, "
            f"{config.training.steps} steps in {self.seconds:.3g} s; held out: {figures}; "
            f"{self.active_weights} of {self.total_weights} weights active{where})"
        )


def train(
    model: nn.Module | BIMT,
    data: OwnData,
    loss: Loss = "squared",
    *,
    test: OwnData | None = None,
    test_share: float = 0.2,
    out: str | Path | None = None,
    overwrite: bool = False,
    method: str = "bimt",
    seed: int = 0,
    metrics: Callable[[Tensor, Tensor], Mapping[str, float]] | None = None,
    progress: bool = True,
    page: bool = True,
    loggers: Sequence[str] = (),
    **settings: Any,
) -> TrainedModel:
    """Train a model of your own with BIMT; the loop is that of ``bimt train``.

    The model is trained in place: parameters that require no gradient stay, hooks and training mode too.

    Args:
        model: a module that :func:`bimt_tf.wire` knows, or a BIMT, which has a wiring and a geometry of its own.
        data: (inputs, targets), tensors [examples, ...]; a Dataset of such pairs; or a DataLoader of batches of them.
        loss: "squared" (mean over everything; outputs and targets of one shape), "cross_entropy" (outputs
            [..., classes], targets [...]), or a function of outputs and targets that gives a scalar.
        test, test_share: what is held out, as ``data``; or a share of it, drawn by ``seed`` (not of a DataLoader).
        out: a run directory to write, which ``load_run(out, model=...)`` opens; in memory unless given.
        overwrite: whether a run that is in ``out`` is replaced.
        method: "bimt", "l1-swap", "l1-local", "l1", "vanilla", "magnitude" or "topk".
        seed: of batches and of what is held out; the weights are as the model has them.
        metrics: from outputs and targets of the held-out examples to more numbers by name.
        progress: whether a bar is shown, on a terminal or in a notebook.
        page, loggers: with ``out``: whether report.html is written (docs/report.md); "tensorboard", "wandb".
        **settings: any field of TrainingConfig, GeometryConfig or EliminationConfig: steps, lr, width, eliminate ...

    Raises:
        InputError: for an unknown setting, unusable values or data, an unknown model, or with ``out`` a BIMT whose
            geometry has coordinates of its own, which a run directory does not keep.
        RunFailed: when a loss or a weight is not finite.
        Interrupted: with ``out``, on SIGINT or SIGTERM, after the step and a checkpoint.
    """
    path = _directory(out, loggers)
    seed, test_share = checked(int, seed, "seed"), checked(float, test_share, "test_share")
    settings["batch_size"] = checked(int | None, settings.get("batch_size"), "batch_size")
    network, bimt = _network(model, written=path is not None)
    share = checked(float, settings.get("validation_share", 0.0), "validation_share")
    examples = examples_of(data, test, test_share, settings.pop("batch_size"), seed, share)
    config = _config(network, bimt, loss, method, seed, {**settings, "batch_size": examples.batch_size})
    trainer = _trainer(config, network, bimt, examples, None if isinstance(loss, str) else loss, metrics)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.training.threads)
    try:
        with ProgressBar(progress) as bar:
            watcher = _Recording(bar)
            rounds = _run(trainer, watcher, path, overwrite, loggers, page)
        return _result(trainer, watcher.records, rounds, path)
    finally:
        trainer.release_()
        torch.set_num_threads(threads)


def _network(model: nn.Module | BIMT, written: bool) -> tuple[nn.Module, BIMT | None]:
    """The model that is trained, and its BIMT if that was given; raises InputError for anything else.

    Also, where the run is ``written`` into a directory, for a geometry that it does not keep.
    """
    if isinstance(model, BIMT):
        if written:
            _require_written(model.geometry)
        return model.model, model
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module or a BIMT, found a {type(model).__name__}")
    return model, None


def _require_written(geometry: Geometry) -> None:
    """Raise InputError for shapes that config.yaml does not hold: the run would be read with another geometry."""
    for name, shape in geometry.shapes.items():
        if not isinstance(shape, str):
            raise InputError(
                f"a run directory keeps the shapes 'line', 'grid' and 'ring': found a {type(shape).__name__} for "
                f"{name!r}; train without out=, and keep the model and bimt.state_dict() yourself"
            )


def _directory(out: str | Path | None, loggers: Sequence[str]) -> Path | None:
    """The run directory that is asked for; raises InputError for no path, or loggers without one."""
    if out is None:
        if loggers:
            raise InputError("loggers write beside a run directory: give out=")
        return None
    if not isinstance(out, (str, Path)):
        raise InputError(f"out must be the path of a run directory, found {out!r}")
    return Path(out)


def _trainer(
    config: Config,
    model: nn.Module,
    bimt: BIMT | None,
    examples: OwnExamples,
    loss: Callable[[Tensor, Tensor], Tensor] | None,
    metrics: Callable[[Tensor, Tensor], Mapping[str, float]] | None,
) -> Trainer:
    """The trainer of a model and examples that are there; ``loss`` is None if the config names it."""
    for name in ("polish", "eliminate"):
        if getattr(config.training, name) and not examples.all_at_hand:
            raise InputError(f"{name} takes all training examples at once: give them as tensors")
    for part, name in ((examples.split.train, "data"), (examples.split.test, "test")):
        require_dtype(part, name, config.training.dtype)
        require_finite(part, name, targets=loss is None)
    device = find_device(config.training.device)
    model = model_on(model, device)
    task = dataclasses.replace(OWN, given=model, examples=examples.split, loss_function=loss, more_metrics=metrics)
    bimt = bimt if bimt is not None else bimt_of(model, config)
    return assemble(config, task, examples.split, bimt, examples.batches(device), validation=examples.validation)


def _config(
    model: nn.Module, bimt: BIMT | None, loss: Loss, method: str, seed: int, settings: Mapping[str, Any]
) -> Config:
    """The config of a run of one's own, checked as any other."""
    for name in settings:
        if name not in (*GEOMETRY, *TRAINING, *ELIMINATION):
            raise unknown("setting", name, sorted((*GEOMETRY, *TRAINING, *ELIMINATION)))
        if bimt is not None and name in OF_A_BIMT:
            raise InputError(f"{name} is the given BIMT's own: make the BIMT with it, or give the model alone")
    if not callable(loss) and loss not in ("squared", "cross_entropy"):
        raise unknown("loss", str(loss), ("squared", "cross_entropy"))
    trained = next((p for p in parameters(model).values() if p.requires_grad), None)
    if trained is None:
        raise InputError("the model has no parameter that requires a gradient: there is nothing to train")
    usual = {"dtype": str(trained.dtype).removeprefix("torch."), "device": str(trained.device)}
    if usual["dtype"] not in DTYPES:
        raise InputError(f"the model must be of float32 or float64, found {usual['dtype']}")
    given = {**usual, **settings}
    if given["dtype"] != usual["dtype"]:
        raise InputError(f"dtype is {given['dtype']} and the model {usual['dtype']}: convert the model")
    geometry = {name: value for name, value in given.items() if name in GEOMETRY}
    if bimt is not None:
        where = bimt.geometry
        if callable(where.norm):
            raise InputError(
                "train writes its geometry to a file: norm must be 'l1' or 'l2', found a function; attach takes it"
            )
        geometry = {"width": float(where.width), "layer_gap": float(where.layer_gap), "norm": where.norm}
        geometry["shapes"] = {name: shape for name, shape in where.shapes.items() if isinstance(shape, str)}
        given["reduction"] = bimt.reduction
    overrides = {
        "data": {"loss": loss if isinstance(loss, str) else "own"},
        "geometry": geometry,
        "training": {name: value for name, value in given.items() if name in TRAINING},
        "elimination": {name: value for name, value in given.items() if name in ELIMINATION},
    }
    config = make(OWN.name, method=method, seed=seed, overrides=overrides)
    require_runnable(config)
    return config


class _Recording:
    """A watcher that keeps the records and shows the bar."""

    def __init__(self, bar: ProgressBar) -> None:
        self.start, self.tick, self.stage = bar.start, bar.tick, bar.stage
        self.eliminating, self.round, self.note = bar.eliminating, bar.round, bar.note
        self.records: list[dict[str, Any]] = []
        self._bar = bar

    def record(self, record: Record) -> None:
        self.records.append(record._asdict())
        self._bar.record(record)


def _run(
    trainer: Trainer, watcher: _Recording, out: Path | None, overwrite: bool, loggers: Sequence[str], page: bool
) -> list[dict[str, Any]]:
    """Run to the end, in memory or into a run directory; the rounds of the elimination, if there was one."""
    if out is not None:
        run_trainer(trainer, out, overwrite=overwrite, loggers=loggers, watcher=watcher, draw=False, page=page)
        return RunDirectory.open(out).elimination.rows()

    def note(text: str) -> None:
        watcher.start(trainer.config, trainer.step, text)

    def stop() -> bool:
        watcher.tick(trainer.step)
        return False

    try:
        trainer.run(on_record=watcher.record, on_note=note, stop=stop)
    except NonFiniteLoss as error:
        raise RunFailed(str(error)) from error
    return _eliminated(trainer, watcher) if trainer.config.training.eliminate else []


def _eliminated(trainer: Trainer, watcher: _Recording) -> list[dict[str, Any]]:
    """Eliminate what was trained in memory, and give the rounds."""
    settings = trainer.config.elimination
    watcher.eliminating(budget_in_words(settings))
    trained = Trained.of(trainer)
    found, _ = eliminate_in_memory(trained, settings, lambda one: watcher.round(one._asdict()))
    return rows_of(found.path)


def _result(
    trainer: Trainer, records: list[dict[str, Any]], rounds: list[dict[str, Any]], out: Path | None
) -> TrainedModel:
    return TrainedModel(
        model=trainer.model,
        bimt=trainer.bimt,
        config=trainer.config,
        metrics=records,
        test=trainer.evaluate("test"),
        train=trainer.evaluate("train"),
        active_weights=active_weights(trainer.bimt, 0.0) if rounds else trainer.active(),
        total_weights=trainer.bimt.wiring.total_weights,
        seconds=trainer.seconds,
        elimination=rounds,
        path=out,
    )
