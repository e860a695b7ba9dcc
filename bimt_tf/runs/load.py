"""Opening a run: ``load_run`` gives one FinishedRun, ``load_runs`` a table of all runs under a folder."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import require_path
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.elimination_files import At
from bimt_tf.runs.finished_run import FinishedRun
from bimt_tf.runs.listing import RunRow, run_rows
from bimt_tf.runs.own_data import OwnData, held_out_of
from bimt_tf.runs.read import read_bytes, read_object
from bimt_tf.runs.state import is_trained, state_of
from bimt_tf.runs.zip_files import is_zip, kept_with, unpacked
from bimt_tf.tasks.base import Task
from bimt_tf.tasks.own_model import OWN
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training.device import dtype_of, find_device, model_on
from bimt_tf.training.flat import overwrite_, trainable
from bimt_tf.training.setup import bimt_of

__all__ = ["load_run", "load_runs", "result_of"]


class Result(NamedTuple):
    """Weights by the wiring's names, each neuron's slot by ``slots.<population>``, and where they were read."""

    weights: Mapping[str, Tensor]
    layout: Mapping[str, Tensor]
    source: tuple[Path, Path]


def load_run(
    path: str | Path,
    device: str = "cpu",
    *,
    at: At = "shown",
    model: nn.Module | None = None,
    data: OwnData | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> FinishedRun:
    """Open a run: its model with the trained weights, its layout, and all that can be asked of it.

    No example is drawn before it is asked for, no optimizer is built, and nothing on disk is changed.

    Args:
        path: the run directory, or a ZIP file that ``bimt share`` made of one, which is read from a private temporary
            folder that goes with the run. A run that has not ended gives its last checkpoint; ``.state`` says so.
        device: where the model is put: "cpu", "cuda", "cuda:1", "mps".
        at: which point of the run's elimination: "shown", the one that its summary and figures are of
            (docs/elimination.md says which), which is the trained network where there was no elimination or it has not
            ended; "end", its last; "trained", the network as it was trained; or a number, the point of at most so many
            active weights (of those the one with most; of equals the one of least training loss).
        model: for a run of one's own model (``bimt_tf.train``), a model built as it was then; its weights are
            overwritten with the trained ones.
        data: for such a run, examples to measure on, as its held-out ones: (inputs, targets), or any other kind that
            ``bimt_tf.train`` takes.
        loss: for such a run, the loss, if it was a function given in Python.

    Raises:
        InputError: if there is no run, a device is not there, or a file is damaged, missing or of another model; the
            message names the file and says what to do.
    """
    if not isinstance(path, (str, Path)):
        raise InputError(f"load_run takes the path of a run directory, found a {type(path).__name__}")
    if model is not None and not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, found a {type(model).__name__}")
    if is_zip(require_path(Path(path))):
        return _of_zip(Path(path), partial(load_run, device=device, at=at, model=model, data=data, loss=loss))
    directory = RunDirectory.open(Path(path))
    where, config = find_device(device), directory.config
    if model is None and config.task == OWN.name:
        raise InputError(f"{path} holds a run of your own model: give it, load_run({str(path)!r}, model=your_model)")
    task = _own_task(directory, data, loss)
    if model is None:
        model = find_task(config.task).model(config.model, config.data, config.seed, dtype_of(config))
    result, number = result_of(directory), directory.elimination.number_of(at)
    if number is not None:
        result = _point(directory, number, trainable(model))
    if result is not None:
        overwrite_(trainable(model), result.weights, str(result.source[0]))
    model = model_on(model, where).eval()
    bimt = bimt_of(model, config)
    if result is not None:
        try:
            bimt.load_state_dict(result.layout)
        except InputError as error:
            raise InputError(f"{result.source[1]} does not fit the model: {error}") from error
    held_out = None if data is None else held_out_of(data, config.training.dtype)
    state = state_of(directory.path, config.training.steps)
    return FinishedRun(directory, state, config, model, bimt, held_out=held_out, task=task, round_number=number)


def _of_zip(path: Path, load: Callable[[Path], FinishedRun]) -> FinishedRun:
    """The run in a ZIP file, whose files stand in a temporary folder for as long as the run is there."""
    folder, holder = unpacked(path)
    try:
        run = load(folder)
    except BaseException:
        holder.cleanup()
        raise
    kept_with(run, holder)
    run.path = path
    return run


def _point(directory: RunDirectory, number: int, parameters: Mapping[str, nn.Parameter]) -> Result:
    """A point of the elimination in the model's own number types."""
    point, file = directory.elimination.point(number), directory.elimination.file(number)
    types = {name: parameters[name].dtype for name in point.weights if name in parameters}
    weights = {name: each.to_dense().to(types.get(name, each.dtype)) for name, each in point.weights.items()}
    return Result(weights, point.layout, (file, file))


def _own_task(
    directory: RunDirectory, data: OwnData | None, loss: Callable[[Tensor, Tensor], Tensor] | None
) -> Task | None:
    """The task of a run of one's own model, with the loss that is given; None for a task that is known by its name.

    Raises:
        InputError: for data or a loss that such a run has of its own, or a loss that cannot be called.
    """
    config = directory.config
    if config.task != OWN.name:
        for name, given in (("data", data), ("loss", loss)):
            if given is not None:
                raise InputError(f"{name} is for runs of your own model: {directory.path} has that of {config.task}")
        return None
    if loss is not None and not callable(loss):
        raise InputError(f"loss must be a function of outputs and targets, found {loss!r}")
    if loss is not None and config.data.loss != "own":
        raise InputError(f"the loss of {directory.path} is {config.data.loss!r}: leave out loss")
    return dataclasses.replace(OWN, loss_function=loss)


def load_runs(folder: str | Path) -> Any:
    """All runs under a folder, one row each: path, task, method, seed, steps, state, loss, weights, q, when.

    A pandas DataFrame where pandas is installed, else a list of dicts.

    Raises:
        InputError: if there is no such folder.
    """
    rows = [row._asdict() for row in run_rows(Path(folder))]
    if importlib.util.find_spec("pandas") is None:
        return rows
    import pandas

    return pandas.DataFrame(rows, columns=list(RunRow._fields))


def result_of(directory: RunDirectory) -> Result | None:
    """The trained weights and layout of a run; its last checkpoint's if it has not ended; None before the first.

    Raises:
        InputError: for a damaged file.
    """
    if is_trained(directory.path):
        return _read_result(directory.path)
    path = directory.last_checkpoint_path()
    if path is None:
        return None
    checkpoint = directory.last_checkpoint()
    assert checkpoint is not None
    return Result(checkpoint.model, checkpoint.layout, (path, path))


def _read_result(run: Path) -> Result:
    from safetensors import SafetensorError
    from safetensors.torch import load

    weights, layout = run / "model.safetensors", run / "layout.json"
    remedy = f"remove it, and 'bimt resume {run}' writes it again"
    try:
        read = load(read_bytes(weights, remedy))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{weights} is damaged: it is truncated or not a safetensors file; {remedy}") from error
    for name, values in read.items():
        if not bool(values.isfinite().all()):
            raise InputError(f"{weights} is damaged: {name} holds NaN or infinite weights; {remedy}")
    slots = read_object(layout, remedy).get("slots")
    try:
        assert isinstance(slots, dict)
        tensors = {f"slots.{name}": torch.tensor(values, dtype=torch.int64) for name, values in slots.items()}
        assert all(type(value) is int for values in slots.values() for value in values)
    except (AssertionError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{layout} is damaged: it is not a layout of bimt; {remedy}") from error
    return Result(read, tensors, (weights, layout))
