"""The circuit as a whole: cut, and written for other tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from bimt_tf.analysis.graph import Residual, connection_graph
from bimt_tf.analysis.graph_facts import (
    EdgeFacts,
    add_activity_,
    add_edge_facts_,
    add_effects_,
    add_modules_,
    effects_of,
)
from bimt_tf.analysis.graph_files import FORMATS, graph_bytes
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.prune import PrunePoint, prune
from bimt_tf.errors import unknown
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.trained import Trained

__all__ = ["EXAMPLES", "FORMATS", "MOST_EDGES", "export", "neuron_effects", "pruned"]

EXAMPLES = 1_000
"""Held-out examples that a neuron's activity and effect are taken from, at most."""
MOST_EDGES = 20_000
"""Edges beyond which an exported graph has no modules: finding them takes minutes."""


def pruned(trained: Trained) -> list[PrunePoint]:
    """Weights left against test loss over a grid of thresholds (paper, Figure A1); the weights stay as they are."""

    def evaluate(model: nn.Module) -> float:
        return trained.loss(model(trained.held_out.inputs))

    return prune(trained.bimt, evaluate)


def neuron_effects(trained: Trained, progress: Progress | None = None) -> dict[str, list[float]]:
    """Stage -> how much the held-out loss rises when each of its neurons is set to its mean, at all tokens, alone."""
    inputs, targets = (part[:EXAMPLES] for part in trained.held_out[:2])

    def loss(outputs: Tensor) -> float:
        return trained.task.metrics(trained.config.data, outputs, targets)["loss"]

    return effects_of(trained.bimt, inputs, loss, progress)


def export(
    trained: Trained,
    path: Path,
    form: str,
    residual: Residual = "shared",
    effects: Mapping[str, list[float]] | None = None,
    edges: EdgeFacts | None = None,
) -> None:
    """Write the connection graph with its attributes as GraphML, GEXF or NetworkX's node-link JSON.

    Args:
        trained: the network.
        path: the file.
        form: one of ``FORMATS``.
        residual: as ``connection_graph``.
        effects: as :func:`neuron_effects` gives them; nodes have no effect unless given.
        edges: more numbers for edges, by (parameter, source neuron, target neuron).

    Raises:
        InputError: for another format, an edge that is not there, or a path that cannot be written.
    """
    if form not in FORMATS:
        raise unknown("format", str(form), FORMATS)
    graph = connection_graph(trained.bimt, residual=residual)
    if graph.number_of_edges() <= MOST_EDGES:
        add_modules_(graph)
    if hasattr(trained.model, "hook_dict"):
        add_activity_(graph, trained.bimt, trained.held_out.inputs[:EXAMPLES])
    if effects is not None:
        add_effects_(graph, trained.bimt, effects)
    if edges is not None:
        add_edge_facts_(graph, trained.bimt, edges)
    write_atomically(path, graph_bytes(graph, form))
