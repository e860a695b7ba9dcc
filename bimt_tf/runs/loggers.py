"""Where records go besides metrics.jsonl: TensorBoard and Weights & Biases, both optional."""

from __future__ import annotations

import importlib
import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Protocol
from urllib.parse import urlparse

from bimt_tf.config.reading import dump
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError, unknown
from bimt_tf.training.trainer import Record

__all__ = ["Logger", "LOGGERS", "check", "logger"]


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

    module = "torch.utils.tensorboard"

    def __init__(self, run: Path, config: Config) -> None:
        self.writer = importlib.import_module(self.module).SummaryWriter(str(run / "tensorboard"))
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

    module = "wandb"

    def __init__(self, run: Path, config: Config) -> None:
        wandb = importlib.import_module(self.module)
        self.run = wandb.init(project="bimt_tf", dir=str(run), name=run.name, config={"yaml": dump(config)})

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


def check(name: str) -> None:
    """Raise InputError if the logger is unknown, its package is not installed, or it has no key to log with."""
    if name not in LOGGERS:
        raise unknown("logger", name, LOGGERS)
    try:
        importlib.import_module(LOGGERS[name].module)
    except ImportError as error:
        raise InputError(f"logging to {name} needs its package: pip install 'bimt_tf[{name}]'") from error
    if name == "wandb" and not _has_wandb_key():
        raise InputError("logging to wandb needs a key: 'wandb login', WANDB_API_KEY, or WANDB_MODE=offline")


def logger(name: str, run: Path, config: Config) -> Logger:
    """The logger of this name, which :func:`check` has accepted.

    Raises:
        InputError: if the service refuses.
    """
    try:
        return LOGGERS[name](run, config)
    except Exception as error:  # each package has errors of its own
        raise InputError(f"logging to {name} failed: {' '.join(str(error).split())}") from error


def _has_wandb_key() -> bool:
    """Whether Weights & Biases needs no key (its WANDB_MODE), or finds one where it looks for it."""
    if os.environ.get("WANDB_MODE", "online") != "online" or os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    for file in (os.environ.get("NETRC", "~/.netrc"), "~/_netrc"):
        try:
            if netrc(Path(file).expanduser()).authenticators(host or ""):
                return True
        except (OSError, NetrcParseError, RuntimeError):
            continue
    return False
