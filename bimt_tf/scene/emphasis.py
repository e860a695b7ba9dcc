"""What a drawing of a network points out: neurons, wires of a path, modules, and a number for each neuron."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, SupportsFloat

import numpy as np
from jaxtyping import Bool, Float, Int

from bimt_tf.core.population import Node
from bimt_tf.errors import InputError, require_kind
from bimt_tf.scene.scene import Scene
from bimt_tf.scene.wires import Wires

__all__ = ["Emphasis", "Step", "emphasis_of"]

Step = tuple[Node, Node]
"""Two nodes that a wire joins."""

NONE = -1
LARGEST = 1e300  # of a value: a colour bar's ends are differences


class Emphasis(NamedTuple):
    """By row: ``ringed`` neurons; ``module`` of each neuron (a number, -1 for none); ``values`` (NaN for none).

    ``steps``: (row, neuron, row, neuron) of the wires of paths; ``modules``: their names.
    """

    ringed: tuple[Bool[np.ndarray, " n"], ...]
    steps: frozenset[tuple[int, int, int, int]]
    module: tuple[Int[np.ndarray, " n"], ...]
    modules: tuple[str, ...]
    values: tuple[Float[np.ndarray, " n"], ...] | None

    @property
    def rings(self) -> bool:
        """Whether some neuron is ringed."""
        return any(bool(ringed.any()) for ringed in self.ringed)

    def of_wires(self, wires: Wires) -> Bool[np.ndarray, " n"]:
        """Which wires stand out: those of the paths, or where no path is given, those at a ringed neuron."""
        if self.steps:
            ends = zip(wires.sources.tolist(), wires.targets.tolist(), strict=True)
            return np.array([(wires.source, u, wires.target, v) in self.steps for u, v in ends], dtype=bool)
        if self.rings:
            return np.asarray(self.ringed[wires.source][wires.sources] | self.ringed[wires.target][wires.targets])
        return np.ones(len(wires.weights), dtype=bool)

    def module_of(self, wires: Wires) -> Int[np.ndarray, " n"]:
        """The module that both ends of a wire are in, or -1."""
        source, target = self.module[wires.source][wires.sources], self.module[wires.target][wires.targets]
        return np.where(source == target, source, NONE)


def emphasis_of(
    scene: Scene,
    highlight: Collection[Node | Step] = (),
    modules: Mapping[str, Collection[Node]] | None = None,
    values: Mapping[Node, float] | None = None,
) -> Emphasis:
    """Find the neurons that are meant.

    Args:
        scene: where they are.
        highlight: nodes, and steps of paths; the nodes of a step are ringed too.
        modules: name -> its nodes; no node in two modules.
        values: node -> a finite number.

    Raises:
        InputError: for a node or a wire that is not there, a node in two modules, or a value that is not finite.
    """
    ringed = tuple(np.zeros(row.size, dtype=bool) for row in scene.rows)
    steps: set[tuple[int, int, int, int]] = set()
    for item in highlight:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], tuple):
            found = _wire(scene, item)
            steps |= found
            for u, i, v, j in found:
                ringed[u][i] = ringed[v][j] = True
        else:
            for row, neuron in _found(scene, "highlight", item):
                ringed[row][neuron] = True
    module = tuple(np.full(row.size, NONE) for row in scene.rows)
    require_kind("modules", modules or {}, Mapping)
    for number, (name, nodes) in enumerate((modules or {}).items()):
        for row, neuron in _all(scene, f"module {name!r}", nodes):
            if module[row][neuron] not in (NONE, number):
                raise InputError(f"neuron {neuron} of {scene.rows[row].name} is in two modules")
            module[row][neuron] = number
    numbers = None if values is None else _numbers(scene, values)
    return Emphasis(ringed, frozenset(steps), module, tuple(map(str, modules or {})), numbers)


def _numbers(scene: Scene, values: Mapping[Node, float]) -> tuple[Float[np.ndarray, " n"], ...]:
    require_kind("values", values, Mapping)
    numbers = tuple(np.full(row.size, np.nan) for row in scene.rows)
    for node, value in values.items():
        if not isinstance(value, SupportsFloat) or not abs(float(value)) < LARGEST:
            raise InputError(f"the value of {node!r} must be a finite number, found {value!r}")
        for row, neuron in _found(scene, "values", node):
            numbers[row][neuron] = float(value)
    return numbers


def _all(scene: Scene, where: str, nodes: Iterable[Node]) -> list[tuple[int, int]]:
    return [place for node in nodes for place in _found(scene, where, node)]


def _found(scene: Scene, where: str, node: object) -> list[tuple[int, int]]:
    """(row, neuron) of a node: several where its population stands at several depths."""
    if not (isinstance(node, tuple) and len(node) == 2 and isinstance(node[0], str) and isinstance(node[1], int)):
        raise InputError(f"{where} names {node!r}, which is no (stage, neuron)")
    rows = scene.rows_named(node[0])
    if not 0 <= node[1] < scene.rows[rows[0]].size:
        size = scene.rows[rows[0]].size
        raise InputError(f"{where} names {node!r}, but {node[0]} has {size} neurons, 0 to {size - 1}")
    return [(row, node[1]) for row in rows]


def _wire(scene: Scene, step: Step) -> set[tuple[int, int, int, int]]:
    ends = [set(_found(scene, "highlight", node)) for node in step]
    found = set()
    for wires in scene.wires:
        for u, v in zip(wires.sources.tolist(), wires.targets.tolist(), strict=True):
            a, b = (wires.source, u), (wires.target, v)
            if (a in ends[0] and b in ends[1]) or (b in ends[0] and a in ends[1]):
                found.add((*a, *b))
    if not found:
        where = f"among the {scene.drawn:,} strongest, which are drawn," if scene.dense else "above the threshold"
        raise InputError(f"highlight names the wire {step!r}, but no weight {where} joins these neurons")
    return found
