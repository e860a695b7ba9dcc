"""The circuit as a whole: cut, and written for other tools."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import networkx as nx
from torch import nn

from bimt_tf.analysis.graph import Residual, connection_graph
from bimt_tf.analysis.prune import PrunePoint, prune
from bimt_tf.errors import unknown
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.trained import Trained

__all__ = ["FORMATS", "export", "pruned"]

FORMATS = ("graphml", "gexf", "json")


def pruned(trained: Trained) -> list[PrunePoint]:
    """Weights left against test loss over a grid of thresholds (paper, Figure A1); the weights stay as they are."""

    def evaluate(model: nn.Module) -> float:
        return trained.loss(model(trained.held_out.inputs))

    return prune(trained.bimt, evaluate)


def export(trained: Trained, path: Path, form: str, residual: Residual = "shared") -> None:
    """Write the connection graph with its attributes as GraphML, GEXF or NetworkX's node-link JSON.

    Raises:
        InputError: for another format, or a path that cannot be written.
    """
    if form not in FORMATS:
        raise unknown("format", str(form), FORMATS)
    graph = connection_graph(trained.bimt, residual=residual)
    written = BytesIO()
    if form == "json":
        written.write(json.dumps(nx.node_link_data(graph, edges="edges")).encode())
    else:
        {"graphml": nx.write_graphml, "gexf": nx.write_gexf}[form](graph, written)
    write_atomically(path, written.getvalue())
