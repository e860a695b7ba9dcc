"""Which outputs depend on which inputs, for networks of many weights: by matrices of booleans, without a graph.

The paths are those of :func:`bimt_tf.analysis.paths.flow`.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from bimt_tf.analysis.active import values_of
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection, Node

__all__ = ["Reach", "reach"]


class Reach(NamedTuple):
    """The neurons of the last row and of the first, and whether a path of nonzero weights joins them."""

    outputs: tuple[Node, ...]
    inputs: tuple[Node, ...]
    joined: Bool[Tensor, "outputs inputs"]

    def lost_in(self, later: Reach) -> tuple[tuple[Node, Node], ...]:
        """The (output, input) pairs that are joined here and no longer ``later``, sorted."""
        pairs = (self.joined & ~later.joined).nonzero().tolist()
        return tuple(sorted((self.outputs[o], self.inputs[i]) for o, i in pairs))


@torch.no_grad()
def reach(bimt: BIMT) -> Reach:
    """Which output neurons the input neurons reach. Takes a byte for each pair of a neuron and an input."""
    wiring, parameters = bimt.wiring, bimt.parameters
    into: dict[str, list[Connection]] = {stage.name: [] for stage in wiring.stages}
    for connection in wiring.connections:
        into[connection.target.name].append(connection)
    choices = values_of(wiring)  # query or key stage -> the values of its heads
    choosers = {
        value.name: [name for name, v in choices.items() if value in v] for v in choices.values() for value in v
    }
    ordered = sorted(wiring.stages, key=lambda stage: (stage.depth, stage.name in choosers))
    rows = [list(row) for _, row in groupby(ordered, key=lambda stage: stage.depth)]
    sizes = {stage.name: wiring.populations[stage.population].size for stage in wiring.stages}
    inputs = tuple((stage.name, i) for stage in rows[0] for i in range(sizes[stage.name]))
    found: dict[str, Tensor] = {}
    carried: dict[str, Tensor] = {}
    begun = 0
    for number, row in enumerate(rows):
        for stage in row:
            size = sizes[stage.name]
            reached = torch.zeros(size, len(inputs), dtype=torch.bool)
            if stage.population in carried:
                reached |= carried[stage.population]
            if number == 0:
                reached[torch.arange(size), begun + torch.arange(size)] = True
                begun += size
            for connection in into[stage.name]:
                wires = connection.flatten(parameters[connection.parameter] != 0).any(0).cpu()
                reached |= (wires.mT.float() @ found[connection.source.name].float()) > 0
            for chooser in choosers.get(stage.name, ()):
                heads = wiring.populations[stage.population].heads
                chosen = found[chooser].unflatten(0, (heads, -1)).any(1).repeat_interleave(size // heads, 0)
                reached |= chosen & reached.any(1, keepdim=True)
            found[stage.name] = reached
        for stage in row:
            before = carried.get(stage.population)
            carried[stage.population] = found[stage.name] if before is None else before | found[stage.name]
    outputs = tuple((stage.name, o) for stage in rows[-1] for o in range(sizes[stage.name]))
    return Reach(outputs, inputs, torch.cat([found[stage.name] for stage in rows[-1]]))
