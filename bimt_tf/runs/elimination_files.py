"""An elimination as files: every point of its path, from which it also goes on (docs/run-directory.md).

elimination/settings.json    its budget, written when it begins
elimination/rounds.jsonl     a line a round that was kept
elimination/rounds/0000.safetensors ...   the weights of each that are not zero, in float64, and the layout
elimination/result.json      what there is to say at its end; its being there says that it has ended

A round is there once its line is: the weights are written before it. No torch at import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from bimt_tf.config.settings import EliminationConfig
from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite, remove, write_atomically
from bimt_tf.runs.read import read_bytes, read_object

if TYPE_CHECKING:
    from torch import Tensor

    from bimt_tf.training.elimination.rounds import Round

__all__ = ["At", "EliminationFiles", "Point", "rows_of"]

At: TypeAlias = int | Literal["shown", "end", "trained"]
"""Which point of an elimination: the one that is shown, its end, the trained network, or that of at most so many active
weights.
"""

SETTINGS, ROUNDS, RESULT = "settings.json", "rounds.jsonl", "result.json"
OF_A_ROUND = ("what", "weights", "biases", "neurons", "loss", "validation_loss", "severed", "seconds", "standing")
"""Keys of a line that the search needs to go on; the others are measured for the reader."""

SPARSE = ("indices", "values", "shape")


class Point(NamedTuple):
    """One point of the path: parameter -> its values, a sparse float64 tensor; and ``slots.<population>`` -> slots."""

    weights: dict[str, Tensor]
    layout: dict[str, Tensor]


@dataclass(frozen=True)
class EliminationFiles:
    """The folder ``path`` of one elimination, and the reading and writing of it; ``run`` is the run's directory."""

    path: Path
    run: Path

    @property
    def begun(self) -> bool:
        """Whether an elimination has begun here."""
        return (self.path / SETTINGS).exists()

    @property
    def ended(self) -> bool:
        """Whether it came to its end."""
        return (self.path / RESULT).exists()

    @property
    def unfinished(self) -> bool:
        """Whether one has begun and was stopped."""
        return self.begun and not self.ended

    @property
    def settings(self) -> EliminationConfig:
        """Its budget.

        Raises:
            InputError: if the file is damaged.
        """
        found = read_object(self.path / SETTINGS, self._remedy)
        try:
            return EliminationConfig(**found)
        except (TypeError, InputError) as error:
            raise InputError(f"{self.path / SETTINGS} is damaged: {error}; {self._remedy}") from error

    @property
    def result(self) -> dict[str, Any]:
        """What there was to say at its end; empty before."""
        return read_object(self.path / RESULT, self._remedy) if self.ended else {}

    def rows(self) -> list[dict[str, Any]]:
        """The lines of rounds.jsonl, the trained network first; a last line that was cut short is left out.

        Raises:
            InputError: if the file is damaged.
        """
        file = self.path / ROUNDS
        if not file.exists():
            return []
        lines = read_bytes(file, self._remedy).decode("utf-8", errors="replace").splitlines()
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                assert isinstance(row, dict) and all(name in row for name in OF_A_ROUND)
            except (ValueError, AssertionError, RecursionError) as error:
                if number == len(lines):
                    break
                raise InputError(f"{file} is damaged: line {number} is no round; {self._remedy}") from error
            found.append(row)
        if self.ended and len(found) != (wanted := self.result.get("rounds", 0)) + 1:
            raise InputError(f"{file} is damaged: it lacks rounds of {wanted}; {self._remedy}")
        return found

    def point(self, number: int) -> Point:
        """Weights and layout of a round, by its number.

        Raises:
            InputError: if the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        file = self.file(number)
        content = read_bytes(file, self._remedy)
        try:
            tensors = load(content)
            weights = _sparse(tensors)
        except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(f"{file} is damaged: it holds no round of an elimination; {self._remedy}") from error
        return Point(weights, {name: each for name, each in tensors.items() if name.startswith("slots.")})

    def rounds(self) -> tuple[Round, ...]:
        """All rounds, from which the search goes on.

        Raises:
            InputError: as :meth:`rows` and :meth:`point`.
        """
        from bimt_tf.training.elimination.rounds import Round, Standing

        found = []
        for number, row in enumerate(self.rows()):
            try:
                severed = tuple(((o[0], o[1]), (i[0], i[1])) for o, i in row["severed"])
                standing = Standing(**row["standing"])
            except (TypeError, IndexError, ValueError) as error:
                raise InputError(
                    f"{self.path / ROUNDS} is damaged: line {number + 1} is no round; {self._remedy}"
                ) from error
            values = {name: row[name] for name in OF_A_ROUND} | {"severed": severed, "standing": standing}
            found.append(Round(**values, state=self.point(number).weights))
        return tuple(found)

    def begin(self, settings: EliminationConfig) -> None:
        """Make the folder, in the place of one that is there.

        Raises:
            CannotWrite: on a full disk or a missing permission.
        """
        try:
            remove(self.path)
            (self.path / "rounds").mkdir(parents=True)
        except OSError as error:
            raise CannotWrite(f"cannot write {self.path}: {error.strerror}") from error
        self._write(SETTINGS, asdict(settings))

    def add(
        self,
        number: int,
        one: Round,
        measured: Mapping[str, Any],
        slots: Mapping[str, Tensor],
        *,
        keep_later: bool = False,
    ) -> dict[str, Any]:
        """Write a round, and give its line.

        Args:
            number: of the round; one that is there is replaced, and all behind it are forgotten.
            one: the round.
            measured: what else its line says.
            slots: population -> each neuron's slot.
            keep_later: whether rounds behind it stay.

        Raises:
            CannotWrite: on a full disk or a missing permission.
        """
        from safetensors.torch import save

        tensors = {f"slots.{name}": each.cpu().contiguous() for name, each in slots.items()}
        for name, values in one.state.items():
            flat = values.to_dense().cpu().flatten()
            where = flat.nonzero().squeeze(1)
            parts = (where, flat[where], _shape(values))
            tensors |= {f"{kind}.{name}": part.contiguous() for kind, part in zip(SPARSE, parts, strict=True)}
        write_atomically(self.file(number), save(tensors))
        row = {"round": number, **{name: getattr(one, name) for name in OF_A_ROUND}, **measured}
        row["standing"] = one.standing._asdict()
        there = self.rows()
        rows = [*there[:number], row, *(there[number + 1 :] if keep_later else ())]
        write_atomically(self.path / ROUNDS, "".join(json.dumps(each) + "\n" for each in rows).encode())
        return row

    def end(self, result: Mapping[str, Any]) -> None:
        """Say that it has ended, and with what."""
        self._write(RESULT, dict(result))

    def number_of(self, at: At) -> int | None:
        """The number of the round that ``at`` means (see ``load_run``), None for the trained network.

        Raises:
            InputError: for anything else, or a number of weights that every point passes.
        """
        if at == "trained":
            return None
        if at in ("shown", "end"):
            if not self.ended:
                return None
            last = len(self.rows()) - 1
            shown = self.result.get("shown", last) if at == "shown" else last
            if isinstance(shown, bool) or not isinstance(shown, int) or not 0 <= shown <= last:
                raise InputError(f"{self.path / RESULT} is damaged: it shows round {shown!r} of {last}; {self._remedy}")
            return shown
        if isinstance(at, bool) or not isinstance(at, int) or at < 0:
            raise InputError(f"at must be 'shown', 'end', 'trained' or a number of weights, found {at!r}")
        if not self.begun:
            raise InputError(f"{self.run} has no elimination: 'bimt eliminate {self.run}' makes one")
        rows = self.rows()
        counts = sorted({row["weights"] for row in rows})
        fitting = [row for row in rows if row["weights"] <= at]
        if not fitting:
            there = f"its {len(rows)} points have {counts[0]:,} to {counts[-1]:,}" if rows else "it has no point yet"
            raise InputError(f"the elimination of {self.run} has no point of at most {at:,} weights: {there}")
        best = max(fitting, key=lambda row: (row["weights"], -row["loss"], row["round"]))
        return int(best["round"])

    @property
    def _remedy(self) -> str:
        return f"'bimt eliminate {self.run} --overwrite' makes the elimination again"

    def file(self, number: int) -> Path:
        """Where the weights of a round are."""
        return self.path / "rounds" / f"{number:04d}.safetensors"

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        write_atomically(self.path / name, (json.dumps(value, indent=2) + "\n").encode())


def rows_of(path: Sequence[Round]) -> list[dict[str, Any]]:
    """What each round says, for a reader: without its weights."""
    shown = [name for name in OF_A_ROUND if name != "standing"]
    return [{name: getattr(one, name) for name in shown} for one in path]


def _shape(values: Tensor) -> Tensor:
    import torch

    return torch.tensor(list(values.shape), dtype=torch.int64)


def _sparse(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameter -> its values, a sparse tensor."""
    import torch

    found = {}
    for name in (name.removeprefix("values.") for name in tensors if name.startswith("values.")):
        where, values, shape = (tensors[f"{kind}.{name}"] for kind in SPARSE)
        if not bool(values.isfinite().all()):
            raise ValueError("weights that are no numbers")
        dense = torch.zeros(int(shape.prod()), dtype=values.dtype)
        dense[where] = values
        found[name] = dense.view(*shape.tolist()).to_sparse()
    return found
