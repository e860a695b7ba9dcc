"""The run directory: what a run leaves behind, and how it is read again (docs/run-directory.md)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bimt_tf.config.reading import dump, load
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.runs import checkpoints
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.training.checkpoint import Checkpoint
from bimt_tf.training.setup import set_up
from bimt_tf.training.trainer import Record, Trainer

__all__ = ["RunDirectory"]

OWNED = (
    "config.yaml", "metrics.jsonl", "checkpoints", "model.safetensors", "layout.json", "summary.json", "figures",
    "huggingface",
)  # fmt: skip
_LOCK = ".lock"


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run, and the reading and writing of them."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config, overwrite: bool = False) -> RunDirectory:
        """Make the directory and write its config.

        Raises:
            InputError: if it is a file, cannot be made, or is not empty and ``overwrite`` is not given;
                ``overwrite`` replaces the files of an earlier run and touches nothing else.
        """
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; a run needs a directory")
        present = [entry.name for entry in path.iterdir()] if path.exists() else []
        strange = [name for name in present if name not in (*OWNED, _LOCK)]
        if present and not overwrite:
            raise InputError(
                f"{path} is not empty: give --overwrite to replace the run, another --out, or 'bimt resume {path}'"
            )
        if present and strange and "config.yaml" not in present:
            raise InputError(f"{path} is not a run directory (it holds {strange[0]!r}): give another --out")
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with run.lock():
                for name in OWNED:
                    entry = path / name
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
                write_atomically(path / "config.yaml", dump(config).encode())
        except OSError as error:
            raise InputError(f"cannot write to {path}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run; raises InputError if there is none."""
        if not (path / "config.yaml").is_file():
            raise InputError(f"{path} is not a run directory: it has no config.yaml")
        return cls(path)

    @property
    def config(self) -> Config:
        """The config the run was made with."""
        return load(self.path / "config.yaml")

    @property
    def figures(self) -> Path:
        """Where figures go; made when asked for."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for this process; raises InputError if another one trains in it."""
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            yield
            return
        with (self.path / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(f"{self.path} is in use by another bimt process") from error
            yield

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint atomically."""
        checkpoints.save(self.path / "checkpoints", checkpoint)

    def last_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, or None if the run was stopped before its first."""
        path = self.last_checkpoint_path()
        return None if path is None else checkpoints.load(path)

    def last_checkpoint_path(self) -> Path | None:
        """Where the newest checkpoint is."""
        return checkpoints.latest(self.path / "checkpoints")

    def append(self, record: Record) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record._asdict()) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that was cut short is left out."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise InputError(f"{path}: line {number} is not JSON") from error
        return found

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl past ``step``: a resumed run writes them again."""
        kept = [json.dumps(record) + "\n" for record in self.records() if record["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", "".join(kept).encode())

    def save_result(self, trainer: Trainer) -> None:
        """Write model.safetensors and layout.json: weights in the neurons' own order, and each neuron's slot."""
        from safetensors.torch import save

        layout = {"slots": {name: slots.tolist() for name, slots in trainer.bimt.layout.slots.items()}}
        write_atomically(self.path / "model.safetensors", save(trainer.weights()))
        write_atomically(self.path / "layout.json", json.dumps(layout).encode())

    def load_result(self) -> Trainer:
        """The trained model with its BIMT and data, as a Trainer at its end.

        Raises:
            InputError: if the run has not ended, or its files are damaged or of another model.
        """
        layout = {f"slots.{name}": torch.tensor(value) for name, value in self._read_layout().items()}
        return set_up(self.config, start=(self._read_model(), layout))

    def _read_model(self) -> dict[str, Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.path / "model.safetensors"
        if not path.exists():
            raise InputError(f"{self.path} holds no trained model yet: 'bimt resume {self.path}' finishes the run")
        try:
            return load(path.read_bytes())
        except (SafetensorError, ValueError) as error:
            raise InputError(f"{path} is truncated or not a safetensors file") from error

    def _read_layout(self) -> dict[str, list[int]]:
        path = self.path / "layout.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))["slots"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is missing or not a layout of bimt") from error

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json."""
        write_atomically(self.path / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
