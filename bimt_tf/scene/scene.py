"""The scene of a network: rows of neurons, wires between them, marks on them, as data. Nothing is drawn here.

Every picture of a network (figures/network.py, the page of viewer/) is drawn from one scene. x is true: the drawn |dx|
of every wire is the geometry's, by one scale for the whole scene (paper, Section 2.1). Heights are for reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bimt_tf.analysis.active import Paths, paths_through
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError, require_kind, unknown
from bimt_tf.scene.rows import SHEAR, Places, Row, places_of, rows_of
from bimt_tf.scene.wires import MOST_WIRES, Wires, wires_of

__all__ = [
    "ACTIVE",
    "CARRIED",
    "DEAD_END",
    "IDLE",
    "NO_INPUT",
    "STATES",
    "Biases",
    "Links",
    "Scene",
    "Table",
    "scene_of",
]

IDLE, DEAD_END, NO_INPUT, CARRIED, ACTIVE = range(5)
STATES = ("without weights", "dead end: leads to no output", "without input", "carried on by the stream", "active")
"""What a neuron is, by its number: active and carried ones are on a path from an input to an output."""


class Links(NamedTuple):
    """Neurons that pass from one row to a higher one unchanged: the residual stream, or a head's values to z."""

    source: int
    target: int
    neurons: Int[np.ndarray, " n"]


class Biases(NamedTuple):
    """The biases above the threshold of one row's neurons that have weights; ``largest``: of the parameter."""

    parameter: str
    row: int
    neurons: Int[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    largest: float


class Table(NamedTuple):
    """A table without coordinates on one side (vocabulary, positions), on a row: its ``entries`` a neuron.

    ``sizes``: root mean square of each neuron's entries. ``below``: whether the row reads it (or is read by it).
    """

    parameter: str
    row: int
    entries: int
    sizes: Float[np.ndarray, " n"]
    below: bool


class Scene(NamedTuple):
    """What is drawn and where.

    ``states``: by row and neuron, one of STATES. ``total``: the weights of all connections. ``scale``: plot widths a
    unit of length, None where neurons stand by their slots since the width is 0; ``width``: the geometry's A.
    """

    rows: tuple[Row, ...]
    wires: tuple[Wires, ...]
    links: tuple[Links, ...]
    biases: tuple[Biases, ...]
    tables: tuple[Table, ...]
    states: tuple[Int[np.ndarray, " n"], ...]
    threshold: float
    total: int
    scale: float | None
    width: float

    @property
    def positive(self) -> int:
        """How many active weights are positive."""
        return sum(wires.positive for wires in self.wires)

    @property
    def negative(self) -> int:
        """How many active weights are negative."""
        return sum(wires.negative for wires in self.wires)

    @property
    def active(self) -> int:
        """The active weights: above the threshold and on a path from an input to an output."""
        return self.positive + self.negative

    @property
    def off_path(self) -> int:
        """The weights above the threshold that are on no such path."""
        return sum(wires.off_path for wires in self.wires)

    @property
    def on_paths(self) -> tuple[Bool[np.ndarray, " n"], ...]:
        """By row, which neurons are on a path from an input to an output: active and carried ones."""
        return tuple(np.isin(states, (ACTIVE, CARRIED)) for states in self.states)

    @property
    def counts(self) -> tuple[int, ...]:
        """By row, how many neurons are on a path: what figures, the page and the terminal say beside it."""
        return tuple(int(on_path.sum()) for on_path in self.on_paths)

    @property
    def dense(self) -> bool:
        """Whether there are too many wires to draw each: then densities stand for them."""
        return any(wires.density is not None for wires in self.wires)

    @property
    def drawn(self) -> int:
        """How many wires there are one by one."""
        return sum(len(wires.weights) for wires in self.wires)

    def rows_named(self, name: str) -> list[int]:
        """The rows of a stage or of a population, or the row of this name.

        Raises:
            InputError: if there is none.
        """
        found = [i for i, row in enumerate(self.rows) if name in (row.name, row.stage)]
        found = found or [i for i, row in enumerate(self.rows) if name == row.population]
        if not found:
            raise unknown("stage or population", name, {s for r in self.rows for s in (r.stage, r.population)})
        return found

    def as_dict(self) -> dict[str, Any]:
        """The scene as dicts, lists, numbers and text, ready for JSON; densities in 255 steps (Density.as_dict).

        ``shear`` beside it: how far to the right a unit of lift puts a neuron.
        """
        rows = [
            _plain(row._asdict())
            | {"states": states.tolist(), "count": count, "boxes": [list(box) for box in row.boxes]}
            for row, states, count in zip(self.rows, self.states, self.counts, strict=True)
        ]
        left_out = ("density", "reads", "writes")
        wires = [
            _plain({k: v for k, v in one._asdict().items() if k not in left_out})
            | {"density": None if one.density is None else one.density.as_dict()}
            for one in self.wires
        ]
        rest = {name: [_plain(one._asdict()) for one in getattr(self, name)] for name in ("links", "biases", "tables")}
        numbers = {name: getattr(self, name) for name in ("threshold", "total", "active", "off_path", "scale", "width")}
        numbers["shear"] = SHEAR
        return {"rows": rows, "wires": wires, **rest, **numbers}


def scene_of(
    bimt: BIMT,
    threshold: float = 0.0,
    *,
    effects: Mapping[str, Tensor] | None = None,
    most_wires: int = MOST_WIRES,
) -> Scene:
    """The scene of a model where its neurons stand now.

    Args:
        bimt: the model and its layout.
        threshold: weights of at most this size are no wires; by default exact zeros.
        effects: parameter of a connection -> a number for each of its weights (what a knock-out of it costs, say), a
            tensor of the parameter's shape; matrices that are not named have 0.
        most_wires: beyond which densities and the strongest wires stand for all.

    Raises:
        InputError: for what is no BIMT, a negative threshold, weights that are not finite, or effects of another shape.
    """
    require_kind("bimt", bimt, BIMT)
    paths = paths_through(bimt, threshold)
    places: Places = places_of(bimt)
    rows = rows_of(bimt, places)
    wires = wires_of(bimt, rows, paths, None if effects is None else _effects(bimt, effects), most_wires)
    states = _states(rows, wires, paths)
    return Scene(
        rows, wires, _links(rows, states), _biases(bimt, rows, states, threshold), _tables(bimt, rows), states,
        float(threshold), bimt.wiring.total_weights, places.scale, float(bimt.geometry.width),
    )  # fmt: skip


def _effects(bimt: BIMT, effects: Mapping[str, Tensor]) -> dict[str, Tensor]:
    require_kind("effects", effects, Mapping)
    shapes = {connection.parameter: connection.shape for connection in bimt.wiring.connections}
    for name, given in effects.items():
        if name not in shapes:
            raise unknown("parameter in effects", name, shapes)
        require_kind(f"effects of {name!r}", given, Tensor)
        if tuple(given.shape) != shapes[name]:
            raise InputError(f"effects of {name!r} must be {list(shapes[name])}, found {list(given.shape)}")
        if not torch.isfinite(given).all():
            raise InputError(f"effects of {name!r} must be finite numbers")
    return {name: effects.get(name, torch.zeros(shape)) for name, shape in shapes.items()}


def _states(rows: tuple[Row, ...], wires: tuple[Wires, ...], paths: Paths) -> tuple[Int[np.ndarray, " n"], ...]:
    touched: dict[str, Bool[np.ndarray, " n"]] = {row.stage: np.zeros(row.size, bool) for row in rows}
    for one in wires:
        touched[rows[one.source].stage] |= one.reads
        touched[rows[one.target].stage] |= one.writes
    states = []
    for row in rows:
        fed, read = (reach[row.stage].cpu().numpy() for reach in (paths.fed, paths.read))
        own = touched[row.stage]
        state = np.where(own, np.where(read & ~fed, NO_INPUT, DEAD_END), IDLE)
        states.append(np.where(fed & read, np.where(own, ACTIVE, CARRIED), state))
    return tuple(states)


def _links(rows: tuple[Row, ...], states: tuple[Int[np.ndarray, " n"], ...]) -> tuple[Links, ...]:
    """Between each row and the next of its population, those neurons that have weights at it or before and after."""
    found = []
    for i, row in enumerate(rows):
        later = [j for j in range(i + 1, len(rows)) if rows[j].population == row.population]
        after = [j for j in later if rows[j].depth > row.depth or rows[j].stage == row.stage]
        if not after or rows[after[0]].token is not None:  # tokens side by side are not one after another
            continue
        earlier = [j for j in range(i + 1) if rows[j].population == row.population]
        before, behind = (np.any([np.isin(states[j], _WIRED) for j in js], axis=0) for js in (earlier, after))
        if (neurons := np.flatnonzero(before & behind)).size:
            found.append(Links(i, after[0], neurons))
    return tuple(found)


_WIRED = (ACTIVE, DEAD_END, NO_INPUT)


def _biases(
    bimt: BIMT, rows: tuple[Row, ...], states: tuple[Int[np.ndarray, " n"], ...], threshold: float
) -> tuple[Biases, ...]:
    found, parameters = [], bimt.parameters
    for hung in bimt.wiring.attachments:
        if not hung.is_bias or not hung.charged:
            continue
        values = hung.flatten(parameters[hung.parameter].detach().cpu()).double().sum(0).numpy()
        i = next(i for i, row in enumerate(rows) if row.stage == hung.stage.name)
        neurons = np.flatnonzero((np.abs(values) > threshold) & (states[i] != IDLE))
        if neurons.size:
            found.append(Biases(hung.parameter, i, neurons, values[neurons], float(np.abs(values).max())))
    return tuple(found)


def _tables(bimt: BIMT, rows: tuple[Row, ...]) -> tuple[Table, ...]:
    found, parameters = [], bimt.parameters
    for hung in bimt.wiring.attachments:
        if hung.is_bias:
            continue
        entries = hung.flatten(parameters[hung.parameter].detach().cpu())
        at = [i for i, row in enumerate(rows) if row.stage == hung.stage.name]
        below = rows[at[0]].depth == rows[0].depth
        sizes = (torch.linalg.vector_norm(entries, dim=0).double() / len(entries) ** 0.5).numpy()
        found.append(Table(hung.parameter, at[0] if below else at[-1], len(entries), sizes, below))
    return tuple(found)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
