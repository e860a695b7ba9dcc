"""The run directory: what a run leaves behind, and how its files are written and read (docs/run-directory.md).

No torch at import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimt_tf import __version__
from bimt_tf.config.reading import dump, load
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.runs import checkpoints
from bimt_tf.runs.atomic import CannotWrite, require_path, write_atomically
from bimt_tf.runs.claim import claim, holds
from bimt_tf.runs.elimination_files import EliminationFiles
from bimt_tf.runs.lock import lock, lock_answers
from bimt_tf.runs.read import read_bytes, read_object
from bimt_tf.runs.snapshots import SnapshotFiles

if TYPE_CHECKING:
    from torch import Tensor

    from bimt_tf.training.checkpoint import Checkpoint

__all__ = ["FORMAT", "MARKER", "OWNED", "RunDirectory"]

FORMAT = 2
"""The number in run.json. Directories without run.json are of format 1, made by version 0.1."""

MARKER = "config.yaml"
"""What a directory that holds a run has in any case."""
OWNED = (
    MARKER, "run.json", "metrics.jsonl", "checkpoints", "model.safetensors", "layout.json", "summary.json",
    "probes.json", "snapshots", "figures", "report.html", "huggingface", "tensorboard", "wandb", "elimination",
    "interventions.json", "modules.json", "formulas.json",
)  # fmt: skip


NUMBERS = ("seed", "steps", "test_loss", "active_weights", "total_weights")
"""Keys of summary.json without which it is none."""


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
        if not overwrite and holds(path, MARKER, "a run"):
            raise InputError(
                f"{path} is not empty: give --overwrite to replace the run, another --out, or 'bimt resume {path}'"
            )
        claim(path, MARKER, dump(config).encode(), owned=OWNED, what="a run", overwrite=overwrite)
        run = cls(path)
        run.write_format()
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run; raises InputError if there is none, or one of a format that came later."""
        if not (require_path(path) / MARKER).is_file():
            raise InputError(f"{path} is not a run directory: {_why_none(path)}")
        run = cls(path)
        if run.format > FORMAT:
            raise InputError(
                f"{path} is of format {run.format}, bimt_tf {__version__} reads formats up to {FORMAT}: "
                "install a newer bimt_tf"
            )
        return run

    @property
    def elimination(self) -> EliminationFiles:
        """The files of its elimination, whether there is one or not."""
        return EliminationFiles(self.path / "elimination", self.path)

    @property
    def snapshots(self) -> SnapshotFiles:
        """The files of its snapshots, whether there are any or not."""
        return SnapshotFiles(self.path / "snapshots", self.path)

    def write_format(self) -> None:
        """Say in run.json which format the directory has from now on."""
        self._write_json("run.json", {"format": FORMAT, "bimt_tf": __version__})

    @cached_property
    def format(self) -> int:
        """The format number of the directory."""
        file = self.path / "run.json"
        if not file.exists():
            return 1
        remedy = f'remove it, or write {{"format": {FORMAT}}} into it'
        number = read_object(file, remedy).get("format")
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"{file} is damaged: its format is {number!r}, not a whole number; {remedy}")
        return number

    @property
    def config(self) -> Config:
        """The config the run is to be gone on with."""
        return _config(self.path / MARKER)

    @property
    def config_of_checkpoints(self) -> Config | None:
        """The config the checkpoints were made with; None if there is none, or version 0.1 wrote them."""
        path = self.path / "checkpoints" / MARKER
        return _config(path) if path.exists() else None

    def lock(self) -> AbstractContextManager[None]:
        """Hold the directory for this process; raises InUse if another one trains in it."""
        return lock(self.path)

    def save_checkpoint(self, checkpoint: Checkpoint, config: Config) -> None:
        """Write a checkpoint, and before the first one the config it was made with."""
        folder = self.path / "checkpoints"
        if not (folder / MARKER).exists():
            self._folder("checkpoints")
            write_atomically(folder / MARKER, dump(config).encode())
        checkpoints.save(folder, checkpoint)

    def last_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, or None if the run was stopped before its first."""
        path = self.last_checkpoint_path()
        return None if path is None else checkpoints.load(path)

    def last_checkpoint_path(self) -> Path | None:
        """Where the newest checkpoint is."""
        return checkpoints.latest(self.path / "checkpoints")

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise CannotWrite(f"cannot write {path}: {error.strerror}") from error

    def records(self, damaged: list[str] | None = None) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that was cut short is left out.

        Args:
            damaged: if given, takes what is wrong with other lines, which are left out too.

        Raises:
            InputError: for a file that cannot be read, or, without ``damaged``, another line that is no object with a
                step.
        """
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        remedy = "remove it: only the curves hang on it"
        try:
            lines = read_bytes(path, remedy).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is damaged: it is not UTF-8; {remedy}") from error
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                if number == len(lines):
                    break
                record = None
            if not isinstance(record, dict) or type(record.get("step")) is not int:
                if damaged is None:
                    raise InputError(f"{path} is damaged: line {number} is no object with a step; {remedy}")
                damaged.append(f"line {number} of metrics.jsonl is damaged and left out")
                continue
            found.append(record)
        return found

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl and the snapshots past ``step``: a resumed run writes them again."""
        self.snapshots.forget_after(step)
        kept = [json.dumps(record) + "\n" for record in self.records() if record["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", "".join(kept).encode())

    def save_result(self, weights: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
        """Write model.safetensors and layout.json: weights in the neurons' own order, and each neuron's slot."""
        from safetensors.torch import save

        write_atomically(self.path / "model.safetensors", save(dict(weights)))
        layout = {"slots": {name: each.tolist() for name, each in slots.items()}}
        write_atomically(self.path / "layout.json", json.dumps(layout).encode())

    def write_summary(self, summary: Mapping[str, Any], probes: Sequence[Mapping[str, Any]]) -> None:
        """Write probes.json, the long tables, and then summary.json, whose being there says that a run is whole.

        Answers that probes.json holds stay; a damaged one is replaced.
        """
        path = self.path / "probes.json"
        with lock_answers(self.path):
            others = {}
            with suppress(InputError):
                others = read_object(path, "") if path.exists() else {}
            self._write_json("probes.json", {**others, "probes": list(probes)})
        self._write_json("summary.json", summary)

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json holds; empty if it is not there yet.

        Raises:
            InputError: if it is damaged.
        """
        path, remedy = self.path / "summary.json", f"remove it, and 'bimt resume {self.path}' writes it again"
        if not path.exists():
            return {}
        found = read_object(path, remedy)
        for name in NUMBERS:
            if isinstance(found.get(name), bool) or not isinstance(found.get(name), (int, float)):
                raise InputError(f"{path} is damaged: {name} is {str(found.get(name))[:40]}, not a number; {remedy}")
        return found

    @property
    def probes(self) -> list[dict[str, Any]]:
        """The probes' tables: those of probes.json, or of format 1's summary.json; empty before they are made.

        Raises:
            InputError: if the file is damaged.
        """
        path, remedy = self.path / "probes.json", f"remove it, and 'bimt resume {self.path}' writes it again"
        if not path.exists():
            return list(self.summary.get("probes", ()))
        found = read_object(path, remedy).get("probes")
        if not isinstance(found, list):
            raise InputError(f"{path} is damaged: it holds no list of probes; {remedy}")
        return found

    def write_figure(self, name: str, content: bytes) -> None:
        """Write a file into figures/."""
        self._folder("figures")
        write_atomically(self.path / "figures" / name, content)

    def _folder(self, name: str) -> None:
        try:
            (self.path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot write {self.path / name}: {error.strerror}") from error

    def _write_json(self, name: str, value: Mapping[str, Any]) -> None:
        write_atomically(self.path / name, (json.dumps(value, indent=2) + "\n").encode())


def _config(path: Path) -> Config:
    try:
        return load(path)
    except RecursionError as error:
        raise InputError(f"config {path} is nested too deeply to be a config") from error


def _why_none(path: Path) -> str:
    """Why a place is no run, and what would do."""
    if not path.exists():
        return "there is no such folder; 'bimt list' shows the runs that lie under runs"
    if any(path.glob(f"*/{MARKER}")):
        return f"it has no {MARKER}, its folders have; 'bimt list {path}' shows them"
    return f"it has no {MARKER}"
