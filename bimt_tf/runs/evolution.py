"""The way of a run's network: its snapshots while it was trained, then points of its elimination."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.trained import Trained
from bimt_tf.scene.scene import Scene, scene_of
from bimt_tf.scene.wires import MOST_WIRES
from bimt_tf.training.flat import overwrite_, trainable
from bimt_tf.training.phases import phase_after
from bimt_tf.training.snapshots import MOST_PARAMETERS

__all__ = [
    "ELIMINATE",
    "MOST_POINTS",
    "Place",
    "Snapshot",
    "of_a_strip",
    "require_snapshots",
    "snapshots_of",
    "thinned",
]

ELIMINATE = "eliminate"
"""The phase of a point of the elimination."""

MOST_POINTS = 12
"""Points of an elimination on the way, evenly spaced in the logarithm of the weights."""


class Place(NamedTuple):
    """Where a snapshot is: the run, its directory, and the round of its elimination, None for a step of training."""

    directory: RunDirectory
    run: Trained
    round_number: int | None


class Snapshot(NamedTuple):
    """The network of a run as it was after ``step`` steps; what is asked of it is read from its file then.

    ``phase``: the phase of training that ended there, "start" before the first step, "eliminate" for a point of the
    elimination, whose ``step`` is the run's last; ``loss``: on the held-out examples.
    """

    step: int
    phase: str
    loss: float
    place: Place

    def model(self) -> nn.Module:
        """A copy of the run's model with the weights that it had then; the run's own model stays as it is.

        Weights are rounded to float32; buffers and parameters that are not trained are those of the end.

        Raises:
            InputError: for a damaged file, or a snapshot that holds the strongest weights alone.
        """
        kept, of = self._completeness()
        if kept < of:
            raise InputError(
                f"the snapshot of step {self.step:,} holds the {kept:,} strongest of {of:,} weights: enough to draw, "
                "not to compute with"
            )
        return self.bimt().model

    def bimt(self) -> BIMT:
        """A copy of the run's BIMT, its model with it, with the weights and the layout of then.

        Raises:
            InputError: for a damaged file.
        """
        own = self.place.run.bimt
        model = copy.deepcopy(own.model)
        found = BIMT(model, own.geometry, own.wiring, own.reduction)
        weights, layout, source = self._read()
        named = trainable(model)
        overwrite_(named, {name: each.to(named[name].dtype) if name in named else each
                           for name, each in weights.items()}, source)  # fmt: skip
        try:
            found.load_state_dict(layout)
        except InputError as error:
            raise InputError(f"{source} does not fit the model: {error}") from error
        return found

    @property
    def threshold(self) -> float:
        """Above which size a weight counts as active: ``training.active``, 0 in an elimination."""
        return self.place.run.config.training.active if self.place.round_number is None else 0.0

    def scene(self, threshold: float | None = None, *, most_wires: int = MOST_WIRES) -> Scene:
        """The scene of the network of then (scene/scene.py): the rows and matrices of the run's own.

        Args:
            threshold: weights of at most this size are no wires; :attr:`threshold` unless given.
            most_wires: beyond which densities and the strongest wires stand for all.

        Raises:
            InputError: for a damaged file.
        """
        return scene_of(self.bimt(), self.threshold if threshold is None else threshold, most_wires=most_wires)

    def active_weights(self) -> int:
        """Weights above :attr:`threshold` in size that are on a path from an input to an output.

        Raises:
            InputError: for a damaged file.
        """
        return active_weights(self.bimt(), self.threshold)

    def _completeness(self) -> tuple[int, int]:
        directory, _, number = self.place
        if number is not None:
            return 0, 0
        head = directory.snapshots.head(self.step)
        return head.kept, head.of

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Tensor], str]:
        """Weights by name, the layout, and the file that they are from."""
        directory, _, number = self.place
        if number is None:
            weights, layout = directory.snapshots.read(self.step)
            return weights, layout, str(directory.snapshots.file(self.step))
        point = directory.elimination.point(number)
        dense = {name: each.to_dense() for name, each in point.weights.items()}
        return dense, point.layout, str(directory.elimination.file(number))

    def __repr__(self) -> str:
        return f"Snapshot(step={self.step}, phase={self.phase!r}, loss={self.loss:.4g})"


def snapshots_of(
    directory: RunDirectory, run: Trained, round_number: int | None, damaged: list[str] | None = None
) -> list[Snapshot]:
    """The snapshots on the way to a network, first to last.

    Args:
        directory: where they are.
        run: the network.
        round_number: the round of the elimination that it is of; None for the network as it was trained.
        damaged: if given, takes a line for each snapshot that is damaged, weights and all; these are left out.

    Raises:
        InputError: for a damaged file; of the elimination alone, if ``damaged`` is given.
    """
    files, config = directory.snapshots, run.config
    place = Place(directory, run, None)
    found = []
    for step in files.steps():
        try:
            head = files.head(step)
            one = Snapshot(head.step, phase_after(config, head.step), head.loss, place)
            if damaged is not None:
                one.bimt()
        except InputError as error:
            if damaged is None:
                raise
            damaged.append(f"a snapshot is left out: {error}")
            continue
        found.append(one)
    if round_number is None:
        return found
    rows = directory.elimination.rows()
    for number in _spread([int(row["weights"]) for row in rows[: round_number + 1]]):
        loss = float(rows[number].get("test_loss", rows[number]["loss"]))
        found.append(Snapshot(config.training.steps, ELIMINATE, loss, place._replace(round_number=number)))
    return found


def _spread(weights: list[int]) -> list[int]:
    """Rounds behind the first, which is the trained network, at most MOST_POINTS, the last of all with them."""
    if len(weights) < 2:
        return []
    counts = np.maximum(weights, 1)  # of a network that lost all its weights
    wanted = np.geomspace(counts[0], counts[-1], MOST_POINTS + 1)[1:]
    nearest = {int(np.abs(np.log(counts[1:]) - np.log(one)).argmin()) + 1 for one in wanted}
    return sorted({*nearest, len(weights) - 1})


def thinned(found: Sequence[Snapshot], most: int) -> list[Snapshot]:
    """At most so many of them (at least 2), evenly spaced, the first and the last with them."""
    places = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    return [found[i] for i in places.tolist()]


def of_a_strip(found: Sequence[Snapshot], most: int = 6) -> list[Snapshot]:
    """Those that a strip shows: the first, the last, and between them those whose counts of weights are most evenly
    spaced in their logarithm.
    """
    if len(found) <= most:
        return list(found)
    counts = np.log(np.maximum([one.active_weights() for one in found], 1))
    fall = np.maximum.accumulate(counts[0] - counts)
    wanted = np.linspace(0, fall[-1], most)[1:-1]
    chosen = {0, len(found) - 1, *(int(np.searchsorted(fall, one)) for one in wanted)}
    return [found[i] for i in sorted(chosen)]


def require_snapshots(found: Sequence[Snapshot]) -> Sequence[Snapshot]:
    """The snapshots of a run, at least two; raises InputError where there are fewer, and says why."""
    if len(found) < 2:
        raise InputError(
            f"this run has {len(found)} snapshots, and two are needed: it was trained with --no-snapshots or by an "
            f"earlier version, or its model has more than {MOST_PARAMETERS:,} parameters; training again makes them"
        )
    return found
