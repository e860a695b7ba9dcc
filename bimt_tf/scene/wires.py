"""The wires of a network's scene: every weight of a small one; of a large one the strongest, and how many lie where.

A wire's strength is |w| over the largest |w| of its matrix. A network of more than ``MOST_WIRES`` wires above the
threshold is drawn as densities: |w| summed over bins of neighbouring slots, with the strongest wires on top. Time is
proportional to the weights, and memory to the largest matrix and one byte a weight.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bimt_tf.analysis.active import Paths
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection
from bimt_tf.errors import InputError
from bimt_tf.scene.rows import WRITTEN, Row, tokens_of

__all__ = ["MOST_WIRES", "STRONGEST", "Density", "Wires", "wires_of"]

MOST_WIRES = 6_000  # drawn one by one
STRONGEST = 600  # of a larger network, on top of its densities
BINS = 64  # of a row, at most


class Density(NamedTuple):
    """|w| above the threshold between bins of slots: their ``x``, and ``positive`` and ``negative`` sums."""

    source_x: Float[np.ndarray, " s"]
    target_x: Float[np.ndarray, " t"]
    positive: Float[np.ndarray, "s t"]
    negative: Float[np.ndarray, "s t"]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: ``source_x`` and ``target_x``; ``largest`` of the sums; the sums by source, then target.

        ``positive`` and ``negative`` are base64 of a byte a sum, 255 for the largest: a shade needs no more, and the
        densities of a large network stay below a megabyte.
        """
        largest = float(max(self.positive.max(), self.negative.max()))
        steps = {
            name: np.round(255 * sums / (largest or 1.0)).astype(np.uint8).tobytes()
            for name, sums in (("positive", self.positive), ("negative", self.negative))
        }
        ends = {name: np.round(getattr(self, name), 6).tolist() for name in ("source_x", "target_x")}
        return {**ends, "largest": largest, **{k: base64.b64encode(v).decode() for k, v in steps.items()}}


class Wires(NamedTuple):
    """The wires of one matrix between two rows.

    ``source``, ``target``: rows, by number; by wire: ``sources``, ``targets`` (neurons), ``weights`` (signed),
    ``active`` (on a path from an input to an output), ``effects`` (a number of the user's, if given). ``largest``:
    |w| of the matrix. ``positive``, ``negative``: how many active weights the matrix has, ``off_path``: how many others
    above the threshold, whether or not all are here as wires; ``density`` if they are not. By neuron: ``reads`` and
    ``writes``, whether a weight above the threshold leaves or reaches it.
    """

    parameter: str
    source: int
    target: int
    sources: Int[np.ndarray, " n"]
    targets: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    active: Bool[np.ndarray, " n"]
    effects: Float[np.ndarray, " n"] | None
    largest: float
    positive: int
    negative: int
    off_path: int
    density: Density | None
    reads: Bool[np.ndarray, " sources"]
    writes: Bool[np.ndarray, " targets"]

    @property
    def strength(self) -> Float[np.ndarray, " n"]:
        """|w| over the largest of the matrix, by wire."""
        return np.abs(self.weights) / self.largest if len(self.weights) else np.abs(self.weights)


class _Part(NamedTuple):
    """One copy of a connection: its weights, which are above the threshold, which active; rows by number."""

    connection: Connection
    source: int
    target: int
    weights: Float[Tensor, "s t"]
    above: Bool[Tensor, "s t"]
    active: Bool[Tensor, "s t"]
    effects: Float[Tensor, "s t"] | None


@torch.no_grad()
def wires_of(
    bimt: BIMT, rows: tuple[Row, ...], paths: Paths, effects: Mapping[str, Tensor] | None, most: int = MOST_WIRES
) -> tuple[Wires, ...]:
    """The wires of every connection, each copy of a folded one by itself.

    Raises:
        InputError: for a weight that is not finite.
    """
    total = sum(int(entries.sum()) for entries in paths.above.values())
    made = []
    for part in _parts(bimt, rows, paths, effects):
        if not torch.isfinite(part.weights).all():
            name = part.connection.parameter
            raise InputError(f"parameter {name!r} has weights that are not finite; they cannot be drawn")
        made.append(_wires(part, rows, None if total <= most else STRONGEST))
    if total <= most:
        return tuple(made)
    strengths = np.sort(np.concatenate([one.strength for one in made]))
    least = strengths[-min(STRONGEST, len(strengths))]
    return tuple(_stronger(one, float(least)) for one in made)


def _parts(bimt: BIMT, rows: tuple[Row, ...], paths: Paths, effects: Mapping[str, Tensor] | None) -> Iterator[_Part]:
    parameters, at = bimt.parameters, {row.name: i for i, row in enumerate(rows)}
    for connection in bimt.wiring.connections:
        name, (source, target) = connection.parameter, connection.stages
        weights = connection.flatten(parameters[name].detach().cpu())
        above = paths.above[name].cpu()
        on_path = (paths.fed[source.name][:, None] & paths.read[target.name]).cpu()
        given = None if effects is None else connection.flatten(effects[name].detach().cpu())
        tokens = tokens_of(connection, bimt.wiring)
        for copy in range(len(weights)):
            row = f"{source.name}[{copy}]" if tokens > 1 else source.name
            row = f"{source.name}{WRITTEN}" if f"{source.name}{WRITTEN}" in at else row
            effect = None if given is None else given[copy]
            yield _Part(connection, at[row], at[target.name], weights[copy], above[copy], above[copy] & on_path, effect)


def _wires(part: _Part, rows: tuple[Row, ...], limit: int | None) -> Wires:
    count = int(part.above.sum())
    sizes = torch.where(part.above, part.weights.abs(), 0)
    largest = float(sizes.max()) if sizes.numel() else 0.0
    if limit is None or count <= limit:
        sources, targets = part.above.nonzero(as_tuple=True)
    else:
        flat = sizes.flatten().topk(limit).indices
        sources, targets = flat // sizes.shape[1], flat % sizes.shape[1]
    positive = int((part.active & (part.weights > 0)).sum())
    active = int(part.active.sum())
    return Wires(
        part.connection.parameter, part.source, part.target, sources.numpy(), targets.numpy(),
        part.weights[sources, targets].double().numpy(), part.active[sources, targets].numpy(),
        None if part.effects is None else part.effects[sources, targets].double().numpy(),
        largest, positive, active - positive, count - active,
        None if limit is None else _density(part, sizes, rows),
        part.above.any(1).numpy(), part.above.any(0).numpy(),
    )  # fmt: skip


def _stronger(wires: Wires, least: float) -> Wires:
    kept = wires.strength >= least
    effects = None if wires.effects is None else wires.effects[kept]
    return wires._replace(
        sources=wires.sources[kept], targets=wires.targets[kept], weights=wires.weights[kept],
        active=wires.active[kept], effects=effects,
    )  # fmt: skip


def _density(part: _Part, sizes: Float[Tensor, "s t"], rows: tuple[Row, ...]) -> Density:
    source_bins, source_x = _bins(rows[part.source])
    target_bins, target_x = _bins(rows[part.target])
    sums = []
    for wanted in (part.weights > 0, part.weights < 0):
        some = torch.where(wanted, sizes, 0)
        by_source = torch.zeros(len(source_x), some.shape[1], dtype=some.dtype).index_add_(0, source_bins, some)
        both = torch.zeros(len(source_x), len(target_x), dtype=some.dtype).index_add_(1, target_bins, by_source)
        sums.append(both.double().numpy())
    return Density(source_x, target_x, *sums)


def _bins(row: Row) -> tuple[Int[Tensor, " n"], Float[np.ndarray, " bins"]]:
    """(neuron -> bin, x of each bin): as many neighbouring slots each, as near as may be."""
    n = min(BINS, row.size)
    bins = row.slots * n // row.size
    x = np.bincount(bins, row.x, n) / np.bincount(bins, minlength=n)
    return torch.from_numpy(bins), x
