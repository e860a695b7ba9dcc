"""Active weights: above the active threshold in size, and on a path from an input to an output.

This is the one meaning of "active" in this package. What is merely different from zero is called nonzero, what is
merely large enough "above the threshold". Weights are the entries of the wiring's connections; biases, norms and
embedding tables are not counted.

Paths run through weights above the threshold from stage to stage, and a population that stands at several depths (the
residual stream) carries each of its neurons on to the next depth. Queries and keys carry no signal of their own: they
choose what the values of their head read. So a query or key neuron is on a path if it is reached from the input and
some value neuron of its head is on a path. :func:`bimt_tf.analysis.paths.flow` builds the same paths as a NetworkX
graph; the functions here use boolean vectors, one entry a neuron, and are quick enough for every logged step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection, Stage
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_kind, require_non_negative

__all__ = ["Paths", "above_threshold", "active_masks", "active_weights", "paths_through", "values_of"]

Reach = dict[str, Bool[Tensor, " neurons"]]
"""Stage name -> which of its neurons are reached."""


class Paths(NamedTuple):
    """The weights above a threshold, and which neurons the paths of these weights reach.

    ``above``: parameter -> entries [copies, source, target] above the threshold; ``fed``: the neurons that a path
    reaches from the first row; ``read``: those from which a path leads to the last. An entry is active where its source
    is fed and its target is read, a neuron where it is both.
    """

    above: dict[str, Bool[Tensor, "copies source target"]]
    fed: Reach
    read: Reach


class _Above(NamedTuple):
    """A connection, and which entries of it are above the threshold, with and without the axis of copies."""

    connection: Connection
    entries: Bool[Tensor, "copies source target"]
    joined: Bool[Tensor, "source target"]


def active_weights(bimt: BIMT, threshold: float) -> int:
    """The number of active weights: entries with |w| > ``threshold`` on a path from an input to an output.

    Takes one byte a weight beside the model, and time proportional to its weights. An entry that is NaN is not
    counted.

    Args:
        bimt: the model and its wiring, on any device.
        threshold: the active threshold, in the unit of the weights (``training.active`` in a config).

    Raises:
        InputError: for a threshold that is negative or not finite, or a connection between two stages of one row.
    """
    return int(sum(mask.sum() for _, mask in _active(bimt, threshold)))


def above_threshold(bimt: BIMT, threshold: float) -> int:
    """The number of weights with |w| > ``threshold``, whether or not they are on a path.

    Raises:
        InputError: for a threshold that is negative or not finite.
    """
    require_kind("bimt", bimt, BIMT)
    require_non_negative("threshold", threshold)
    parameters = bimt.parameters
    with torch.no_grad():
        return int(sum(_exceeds(parameters[c.parameter], threshold).sum() for c in bimt.wiring.connections))


def active_masks(bimt: BIMT, threshold: float) -> dict[str, Bool[Tensor, "..."]]:
    """Parameter of a connection -> which of its entries are active, in the parameter's shape and on its device.

    Raises:
        InputError: as :func:`active_weights`.
    """
    return {connection.parameter: connection.unflatten(mask) for connection, mask in _active(bimt, threshold)}


@torch.no_grad()
def paths_through(bimt: BIMT, threshold: float) -> Paths:
    """The paths of the weights with |w| > ``threshold``: what a drawing of the network shows.

    Raises:
        InputError: as :func:`active_weights`.
    """
    require_kind("bimt", bimt, BIMT)
    require_non_negative("threshold", threshold)
    parameters = bimt.parameters
    above = [_above(c, parameters[c.parameter], threshold) for c in bimt.wiring.connections]
    device = above[0].entries.device if above else torch.device("cpu")
    fed = _fed(bimt.wiring, above, device)
    return Paths({one.connection.parameter: one.entries for one in above}, fed, _read(bimt.wiring, above, fed, device))


def values_of(wiring: Wiring) -> dict[str, list[Stage]]:
    """Query or key stage -> the stages of the values that it helps to choose.

    A population that stands twice in one row is multiplied with itself, as queries are with keys. The values are the
    stages of the same row whose population shares its heads.
    """
    found = {}
    for stage in wiring.stages:
        row = [other for other in wiring.stages if other.depth == stage.depth and other != stage]
        if any(other.population == stage.population for other in row):
            heads = wiring.populations[stage.population].group
            found[stage.name] = [
                other
                for other in row
                if other.population != stage.population and wiring.populations[other.population].group == heads
            ]
    return found


@torch.no_grad()
def _active(bimt: BIMT, threshold: float) -> Iterator[tuple[Connection, Bool[Tensor, "copies source target"]]]:
    """Each connection with its active entries."""
    above, fed, read = paths_through(bimt, threshold)
    for connection in bimt.wiring.connections:
        on_path = fed[connection.source.name][:, None] & read[connection.target.name]
        yield connection, above[connection.parameter] & on_path


def _above(connection: Connection, weight: Tensor, threshold: float) -> _Above:
    if connection.source.depth == connection.target.depth:
        raise InputError(f"{connection.parameter} joins two stages of one row; put them in two rows of the wiring")
    entries = connection.flatten(_exceeds(weight, threshold))
    return _Above(connection, entries, entries[0] if len(entries) == 1 else entries.any(0))


def _exceeds(weight: Tensor, threshold: float) -> Bool[Tensor, "..."]:
    """|w| > threshold as exact numbers compare: in a weight's dtype, the threshold might be rounded up."""
    limit = torch.tensor(threshold, dtype=weight.dtype)
    if float(limit) > threshold:
        limit = torch.nextafter(limit, torch.zeros_like(limit))
    return weight.detach().abs() > float(limit)


def _fed(wiring: Wiring, above: list[_Above], device: torch.device) -> Reach:
    """The neurons that a path reaches from a neuron of the first row."""
    into: dict[str, list[_Above]] = {stage.name: [] for stage in wiring.stages}
    for one in above:
        into[one.connection.target.name].append(one)
    ordered = sorted(wiring.stages, key=lambda stage: stage.depth)
    carried: Reach = {}  # population -> what reaches one of its shallower stages
    fed: Reach = {}
    for _, row in groupby(ordered, key=lambda stage: stage.depth):
        stages = list(row)
        for stage in stages:
            reached = _start(wiring, stage, ordered[0], device) | carried.get(stage.population, False)
            for connection, _, joined in into[stage.name]:
                reached = reached | (joined & fed[connection.source.name][:, None]).any(0)
            fed[stage.name] = reached
        for stage in stages:
            carried[stage.population] = fed[stage.name] | carried.get(stage.population, False)
    return fed


def _read(wiring: Wiring, above: list[_Above], fed: Reach, device: torch.device) -> Reach:
    """The neurons from which a path leads to a neuron of the last row; for queries and keys see the module's text."""
    out_of: dict[str, list[_Above]] = {stage.name: [] for stage in wiring.stages}
    for one in above:
        out_of[one.connection.source.name].append(one)
    values = values_of(wiring)
    # The values of a row come before its queries and keys, which are on a path through them.
    ordered = sorted(wiring.stages, key=lambda stage: (-stage.depth, stage.name in values))
    carried: Reach = {}
    read: Reach = {}
    for _, row in groupby(ordered, key=lambda stage: stage.depth):
        stages = list(row)
        for stage in stages:
            reaches = _start(wiring, stage, ordered[0], device) | carried.get(stage.population, False)
            for connection, _, joined in out_of[stage.name]:
                reaches = reaches | (joined & read[connection.target.name]).any(1)
            for value in values.get(stage.name, ()):
                population = wiring.populations[stage.population]
                heads = (fed[value.name] & read[value.name]).reshape(population.heads, -1).any(1)
                reaches = reaches | heads.repeat_interleave(population.head_size)
            read[stage.name] = reaches
        for stage in stages:
            carried[stage.population] = read[stage.name] | carried.get(stage.population, False)
    return read


def _start(wiring: Wiring, stage: Stage, first: Stage, device: torch.device) -> Bool[Tensor, " neurons"]:
    """Every neuron of a stage in the row where paths start, and none of another's."""
    return torch.full((wiring.populations[stage.population].size,), stage.depth == first.depth, device=device)
