"""Where records go besides metrics.jsonl: TensorBoard and Weights & Biases, both optional."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from bimt_tf.errors import InputError, unknown
from bimt_tf.train.config import Config, dump
from bimt_tf.train.trainer import Record

__all__ = ["Logger", "logger", "LOGGERS"]


class Logger(Protocol):
    """Takes records while a run goes on."""

    def log(self, record: Record) -> None:
        """Take one record."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class TensorBoard:
    """Scalars for TensorBoard in DIR/tensorboard."""

    def __init__(self, run: Path, config: Config) -> None:
        module = _import("torch.utils.tensorboard", "tensorboard")
        self.writer = module.SummaryWriter(str(run / "tensorboard"))
        self.writer.add_text("config", dump(config))

    def log(self, record: Record) -> None:
        """One scalar a field."""
        for name, value in record._asdict().items():
            if name != "step":
                self.writer.add_scalar(name, value, record.step)

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()


class WeightsAndBiases:
    """A Weights & Biases run; where it goes (online, offline, off) is its own WANDB_MODE."""

    def __init__(self, run: Path, config: Config) -> None:
        module = _import("wandb", "wandb")
        self.run = module.init(project="bimt_tf", dir=str(run), name=run.name, config={"yaml": dump(config)})

    def log(self, record: Record) -> None:
        """One metric a field."""
        values = record._asdict()
        self.run.log(values, step=values.pop("step"))

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


LOGGERS: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def logger(name: str, run: Path, config: Config) -> Logger:
    """The logger of this name; raises InputError if it is unknown or its package is not installed."""
    if name not in LOGGERS:
        raise unknown("logger", name, LOGGERS)
    return LOGGERS[name](run, config)


def _import(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"logging to {extra} needs its package: pip install 'bimt_tf[{extra}]'") from error
