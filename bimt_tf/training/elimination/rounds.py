"""What each round of an elimination leaves: counts, losses, what was severed, and the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import networkx as nx
import torch
from torch import Tensor

from bimt_tf.analysis.active import active_masks
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import flow
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Node

__all__ = ["FIRST_PRESSURE", "Dependency", "Round", "Standing", "What", "counts", "dependencies", "put_"]

Dependency = tuple[Node, Node]
"""An output neuron and an input neuron that it depends on."""

What: TypeAlias = Literal[
    "as given", "refit", "neuron", "weights", "gauge", "merge", "head", "module", "press", "wires"
]  # fmt: skip
"""What a round did: nothing, a refit alone, or before its refit: took out one neuron, a share of the weights, one head
or one module; shifted the weights into the classes of a softmax (softmax_gauge.py); let other neurons carry what one
had carried (merging.py); or pressed weights to zero (pressing.py). The last one, "wires", shortened the wires and took
nothing out (shortening.py)."""


OUTER = ("input", "output")
"""Populations whose neurons are no hidden ones."""


FIRST_PRESSURE = 1e-3
"""How hard a search presses first (pressing.py)."""


class Standing(NamedTuple):
    """From where a search goes on behind a round: its stage, the share of the weights that it takes out next, and how
    hard it presses them next (pressing.py).
    """

    stage: int
    share: float
    pressure: float = FIRST_PRESSURE


class Round(NamedTuple):
    """The network after a round that was kept.

    ``what``: see :data:`What`.
    ``weights``: active weights (any size above zero); ``biases``: biases and other attachments that are not zero.
    ``neurons``: population -> neurons with an active weight. ``loss``: of the training examples that were taken, in
    float64; ``validation_loss``: of the validation examples, None without them. ``severed``: the (output, input) pairs
    whose dependency this round ended. ``seconds``: since the elimination began. ``state``: parameter -> its values, a
    sparse float64 tensor; :func:`put_` writes them into a model. ``standing``: from where the search goes on; together
    with the rounds before, all that it depends on.
    """

    what: What
    weights: int
    biases: int
    neurons: Mapping[str, int]
    loss: float
    validation_loss: float | None
    severed: tuple[Dependency, ...]
    seconds: float
    state: Mapping[str, Tensor]
    standing: Standing

    @property
    def hidden_neurons(self) -> int:
        """Neurons with an active weight, but for those of the input and the output."""
        return sum(count for name, count in self.neurons.items() if name not in OUTER)


@torch.no_grad()
def counts(bimt: BIMT) -> tuple[int, int, dict[str, int]]:
    """``weights``, ``biases`` and ``neurons`` of a :class:`Round`."""
    masks, parameters = active_masks(bimt, 0.0), bimt.parameters
    touched = {name: torch.zeros(p.size, dtype=torch.bool) for name, p in bimt.wiring.populations.items()}
    for connection in bimt.wiring.connections:
        joined = connection.flatten(masks[connection.parameter]).any(0).cpu()
        touched[connection.source.population] |= joined.any(1)
        touched[connection.target.population] |= joined.any(0)
    weights = int(sum(mask.sum() for mask in masks.values()))
    biases = int(sum((parameters[a.parameter] != 0).sum() for a in bimt.wiring.attachments))
    return weights, biases, {name: int(mask.sum()) for name, mask in touched.items()}


def dependencies(bimt: BIMT) -> frozenset[Dependency]:
    """All (output, input) pairs joined by a path of nonzero weights."""
    directed = flow(connection_graph(bimt, residual="unrolled"))
    depth = nx.get_node_attributes(directed, "depth")
    first, last = min(depth.values(), default=0), max(depth.values(), default=0)
    found = set()
    for output in (node for node, at in depth.items() if at == last):
        found |= {(output, node) for node in nx.ancestors(directed, output) if depth[node] == first}
    return frozenset(found)


@torch.no_grad()
def put_(bimt: BIMT, state: Mapping[str, Tensor]) -> None:
    """Write the weights of a round into a model, in the model's dtype."""
    for name, parameter in bimt.parameters.items():
        parameter.copy_(state[name].to_dense())
