"""The connection graph: neurons are nodes, weights are edges (Newman, 2006; paper, Section 3 reports its modularity).

One edge a weight with |w| above the threshold, of every connection: no biases, no tables (embeddings of tokens,
positions). Copies of a folded connection (two tokens read by one population) are one edge.

Two readings of the residual stream: ``"shared"``, one node a neuron however many layers write to it, reproduces the
paper's modularity; ``"unrolled"``, one node a neuron and stage (Res0, Res1, ...; q and k apart), is for drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from typing import Any, Literal

import networkx as nx
import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection, Node, Stage
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_kind, require_known, require_non_negative

__all__ = ["connection_graph", "Residual", "NO_HEAD"]

Residual = Literal["shared", "unrolled"]

NO_HEAD = -1
"""The ``head`` of a neuron whose population has none (a number, for graph formats know no None)."""


def connection_graph(bimt: BIMT, residual: Residual = "shared", threshold: float = 0.0) -> nx.Graph:
    """The weights of a model as a graph of its neurons; all attributes are plain str, int or float.

    Every neuron is a node, also one without edges: NetworkX's communities put it alone, and Q does not change.

    Node attributes:
        population, neuron, slot: which neuron, and the slot it occupies.
        head: its head, from 0; ``NO_HEAD`` (-1) in populations without heads.
        x: first coordinate of its slot, a length from 0 to the width A; ``z``: the second, where there are two.
        y: depth times the layer gap (a length); ``depth``: the row it stands in, from 0; ``stage``: the stage there.

    Edge attributes:
        weight: |w|, summed over the copies of a folded connection.
        sign: +1 or -1, the sign of the (summed) weight; +1 where copies cancel exactly.
        parameter: the tensor the weight is in.

    Args:
        bimt: the model with its wiring, geometry and layout.
        residual: "shared": nodes are ``(population, neuron)`` and stand at the population's shallowest stage (q and k
            of one index are one neuron); "unrolled": nodes are ``(stage, neuron)``.
        threshold: weights of at most this size are no edges; by default exact zeros.

    Returns:
        A Graph, or a MultiGraph (edge key: the parameter) if the wiring lets two weights join the same two nodes, as
        W_in and W_out or W_Q and W_K do in a shared residual stream. ``graph.graph["residual"]`` is the reading.

    Raises:
        InputError: for what is no BIMT, an unknown ``residual``, a negative threshold or a weight that is not finite.
    """
    require_kind("bimt", bimt, BIMT)
    require_known("residual", residual, ("shared", "unrolled"))
    require_non_negative("threshold", threshold)
    graph = nx.MultiGraph if _has_parallel(bimt.wiring, residual) else nx.Graph
    made: nx.Graph = graph(residual=residual)
    made.add_nodes_from(_nodes(bimt, residual))
    parameters = bimt.parameters
    for connection in bimt.wiring.connections:
        edges = _edges(connection, parameters[connection.parameter], residual, threshold)
        if isinstance(made, nx.MultiGraph):
            for u, v, data in edges:
                made.add_edge(u, v, key=connection.parameter, **data)
        else:
            made.add_edges_from(edges)
    return made


def _key(stage: Stage, residual: Residual) -> str:
    return stage.population if residual == "shared" else stage.name


def _has_parallel(wiring: Wiring, residual: Residual) -> bool:
    joined = Counter(frozenset(_key(stage, residual) for stage in c.stages) for c in wiring.connections)
    return max(joined.values(), default=0) > 1


def _nodes(bimt: BIMT, residual: Residual) -> Iterator[tuple[Node, dict[str, Any]]]:
    """(key, attributes) of every neuron, stages from shallow to deep."""
    places = bimt.places
    stages: dict[str, Stage] = {}
    for stage in sorted(bimt.wiring.stages, key=lambda stage: (stage.depth, stage.column)):
        stages.setdefault(_key(stage, residual), stage)
    for key, stage in stages.items():
        population = bimt.wiring.populations[stage.population]
        slots = bimt.layout.slots[population.name].tolist()
        for neuron, (slot, place) in enumerate(zip(slots, places[population.name].tolist(), strict=True)):
            attributes: dict[str, Any] = {
                "population": population.name,
                "neuron": neuron,
                "slot": slot,
                "head": neuron // population.head_size if population.head_axis else NO_HEAD,
                "x": place[0],
                "y": stage.depth * float(bimt.geometry.layer_gap),
                "depth": stage.depth,
                "stage": stage.name,
            }
            if len(place) > 1:
                attributes["z"] = place[1]
            yield (key, neuron), attributes


def _edges(
    connection: Connection, parameter: Tensor, residual: Residual, threshold: float
) -> Iterator[tuple[Node, Node, dict[str, Any]]]:
    """(source, target, attributes) of the weights above the threshold."""
    copies: Float[Tensor, "copies source target"] = connection.flatten(parameter.detach().to("cpu", torch.float64))
    if not torch.isfinite(copies).all():
        raise InputError(f"parameter {connection.parameter!r} has weights that are not finite; a graph needs numbers")
    kept = torch.where(copies.abs() > threshold, copies, 0.0)
    sizes, sums = kept.abs().sum(0), kept.sum(0)
    sources, targets = sizes.nonzero(as_tuple=True)
    signs = torch.where(sums[sources, targets] < 0, -1, 1)
    source, target = (_key(stage, residual) for stage in connection.stages)
    return (
        ((source, u), (target, v), {"weight": weight, "sign": sign, "parameter": name})
        for u, v, weight, sign, name in zip(
            sources.tolist(),
            targets.tolist(),
            sizes[sources, targets].tolist(),
            signs.tolist(),
            repeat(connection.parameter),
        )
    )
