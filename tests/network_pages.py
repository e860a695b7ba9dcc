"""Pages of networks for the tests of the network's panel, and how its parts are reached in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.bimt import BIMT
from bimt_tf.runs.page.network import page_scene
from bimt_tf.scene.scene import scene_of
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page

LIT = """() => [...document.querySelectorAll('#network .neuron')]
  .filter((one) => !one.classList.contains('faded')).map((one) => one.dataset.id)"""
WEIGHTS = (
    """() => [...document.querySelectorAll('#network .wire[data-weight]')].map((one) => Number(one.dataset.weight))"""
)


def write_page(path: Path, bimt: BIMT, labels: Any = None, threshold: float = 0.0, **parts: Any) -> Path:
    """A page of a network and nothing else, unless other parts are given."""
    scene = page_scene(bimt, threshold, labels)
    path.write_text(page(PageContent("a network", [("task", "none")], scene, **parts)), encoding="utf-8")
    return path


def weights_of(bimt: BIMT) -> list[float]:
    """All weights that are wires, as the model holds them."""
    return [float(w) for wires in scene_of(bimt).wires for w in wires.weights]


def flow(bimt: BIMT, threshold: float = 0.0) -> nx.DiGraph:
    """NetworkX's graph of (stage, neuron) from input to output: weights of at least the threshold, and the stream."""
    scene, graph = scene_of(bimt), connection_graph(bimt, residual="unrolled")
    made = nx.DiGraph()
    for u, v, data in graph.edges(data=True):
        if data["weight"] >= threshold:
            made.add_edge(*sorted((u, v), key=lambda node: graph.nodes[node]["depth"]))
    for link in scene.links:
        below, above = scene.rows[link.source].stage, scene.rows[link.target].stage
        made.add_edges_from(((below, n), (above, n)) for n in link.neurons.tolist() if below != above)
    return made


def nodes(bimt: BIMT, ids: list[str]) -> set[tuple[str, int]]:
    """(stage, neuron) of neurons as the page names them."""
    stages = {row.name: row.stage for row in scene_of(bimt).rows}
    return {(stages[name], int(n)) for name, _, n in (one.rpartition(":") for one in ids)}
