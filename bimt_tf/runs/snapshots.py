"""Snapshots of a run as files: the network at some steps of its training, in a few hundred kilobytes.

snapshots/step_00000120.safetensors   float32: of each parameter all numbers (dense.NAME), or where most are zero, those
                                      that are not (indices.NAME, values.NAME, shape.NAME); slots.POPULATION; its step,
                                      its held-out loss, and how many numbers that are not zero it holds, of how many

A network of more than MOST_NUMBERS numbers that are not zero is kept by the strongest of each parameter: it can be
drawn, not computed with. No torch at import.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite, write_atomically
from bimt_tf.runs.read import read_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from bimt_tf.training.snapshots import TrainingSnapshot

__all__ = ["MOST_NUMBERS", "SnapshotFiles", "SnapshotHead"]

MOST_NUMBERS = 32_768
"""Beyond which the strongest stand for all: each parameter keeps its share of so many, and at least FEW."""

FEW = 256  # of a parameter, which is never thinned below
SPARSE = ("indices", "values", "shape")
HEAD = "head"  # one key, since safetensors writes several in any order
_NAME = re.compile(r"step_(\d{8,})\.safetensors")


class SnapshotHead(NamedTuple):
    """``step``, held-out ``loss``, and how many numbers that are not zero are ``kept``, ``of`` how many."""

    step: int
    loss: float
    kept: int
    of: int


@dataclass(frozen=True)
class SnapshotFiles:
    """The folder ``path`` of one run's snapshots, and the reading and writing of it; ``run`` is the run's directory."""

    path: Path
    run: Path

    def save(self, snapshot: TrainingSnapshot) -> None:
        """Write one, in the place of one of the same step.

        Raises:
            CannotWrite: on a full disk or a missing permission.
        """
        from safetensors.torch import save

        tensors = {f"slots.{name}": slots.int() for name, slots in snapshot.slots.items()}
        total = sum(values.numel() for values in snapshot.weights.values())
        of = sum(int(values.count_nonzero()) for values in snapshot.weights.values())
        share = 1.0 if of <= MOST_NUMBERS else MOST_NUMBERS / total
        kept = 0
        for name, values in snapshot.weights.items():
            parts, own = _packed(values, max(FEW, math.ceil(share * values.numel())))
            tensors |= {f"{kind}.{name}": part for kind, part in parts.items()}
            kept += own
        head = SnapshotHead(snapshot.step, snapshot.loss, kept, of)
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot write {self.path}: {error.strerror}") from error
        write_atomically(self.file(snapshot.step), save(tensors, {HEAD: json.dumps(head)}))

    def forget_after(self, step: int) -> None:
        """Remove those of later steps: a resumed run makes them again.

        Raises:
            CannotWrite: if one cannot be removed.
        """
        for later in self.steps():
            if later > step:
                try:
                    self.file(later).unlink()
                except OSError as error:
                    raise CannotWrite(f"cannot remove {self.file(later)}: {error.strerror}") from error

    def steps(self) -> list[int]:
        """The steps that there are snapshots of, in their order."""
        found = (_NAME.fullmatch(path.name) for path in self.path.glob("step_*.safetensors"))
        return sorted(int(name[1]) for name in found if name)

    def file(self, step: int) -> Path:
        """Where the snapshot of a step is."""
        return self.path / f"step_{step:08d}.safetensors"

    def head(self, step: int) -> SnapshotHead:
        """What a snapshot says of itself, its weights unread.

        Raises:
            InputError: if the file is missing or damaged.
        """
        file = self.file(step)
        try:
            step_of, loss, kept, of = json.loads(_told_in(file)[HEAD])
            head = SnapshotHead(int(step_of), float(loss), int(kept), int(of))
        except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError, AttributeError) as error:
            raise self._damaged(file) from error
        if head.step != step or not math.isfinite(head.loss):
            raise self._damaged(file)
        return head

    def read(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Parameter -> its values, float32, and ``slots.<population>`` -> int64 slots.

        Raises:
            InputError: if the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        file = self.file(step)
        content = read_bytes(file, self._remedy)
        try:
            tensors = load(content)
            weights = _unpacked(tensors)
        except (SafetensorError, ValueError, KeyError, RuntimeError, IndexError) as error:
            raise self._damaged(file) from error
        return weights, {name: each.long() for name, each in tensors.items() if name.startswith("slots.")}

    def _damaged(self, file: Path) -> InputError:
        return InputError(f"{file} is damaged: it holds no snapshot of a network; {self._remedy}")

    @property
    def _remedy(self) -> str:
        return "remove it: only pictures of the way there hang on it"


def _told_in(file: Path) -> dict[str, str]:
    """What a safetensors file says of itself; its tensors are not read.

    ``safetensors.safe_open`` opens no file whose path is not UTF-8, so this reads the beginning that the format has:
    eight bytes of length, little end first, then so many of JSON. Raises ValueError, KeyError or TypeError for what is
    none.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        size = os.fstat(opened.fileno()).st_size
        if length > size:
            raise ValueError("the beginning is longer than the file")
        header = json.loads(opened.read(length).decode("utf-8"))
    told: dict[str, str] = header.pop("__metadata__")
    if 8 + length + max((one["data_offsets"][1] for one in header.values()), default=0) != size:
        raise ValueError("the file is cut short")
    return told


def _packed(values: Tensor, most: int) -> tuple[dict[str, Tensor], int]:
    """The smaller of two ways to keep a parameter, of whose numbers at most ``most`` stay; and how many stay."""
    import torch

    flat = values.detach().cpu().float().flatten()
    where = flat.nonzero().squeeze(1)
    if len(where) > most:
        where = flat.abs().topk(most).indices.sort().values
    if 2 * len(where) >= len(flat) and len(where) == int(flat.count_nonzero()):
        return {"dense": flat.view(values.shape).clone()}, len(where)
    parts = (where.int(), flat[where].clone(), torch.tensor(list(values.shape), dtype=torch.int64))
    return dict(zip(SPARSE, parts, strict=True)), len(where)


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    import torch

    found = {name.removeprefix("dense."): each for name, each in tensors.items() if name.startswith("dense.")}
    for name in (name.removeprefix("values.") for name in tensors if name.startswith("values.")):
        where, values, shape = (tensors[f"{kind}.{name}"] for kind in SPARSE)
        dense = torch.zeros(int(shape.prod()), dtype=values.dtype)
        dense[where.long()] = values
        found[name] = dense.view(*shape.tolist())
    if not all(bool(values.isfinite().all()) for values in found.values()):
        raise ValueError("weights that are no numbers")
    return found
