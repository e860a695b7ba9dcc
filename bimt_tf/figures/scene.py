"""Where the neurons of an unrolled connection graph stand in its drawing (network.py)."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import NamedTuple

import networkx as nx
import numpy as np

from bimt_tf.analysis.paths import Node, live
from bimt_tf.core.population import Stage
from bimt_tf.core.wiring import Wiring

__all__ = ["Scene", "GUTTER"]

GUTTER = 0.05  # between the columns of a row, in plot widths
SLANT = (0.03, 0.42)  # a second coordinate, seen from the side: plot widths and rows over its extent
MARGIN = 0.01  # of a head's band beyond its outermost neurons, at least; plot widths


class Scene(NamedTuple):
    """What is drawn and where.

    ``rows``: stages by depth, those of one depth side by side; ``places``: node -> (x in [0, 1], row), the row raised
    by a second coordinate; ``connected``: the nodes with a weight; ``active``: those on a path from an input to an
    output, also where a residual stream only carries them on.
    """

    graph: nx.Graph
    wiring: Wiring
    rows: list[list[Stage]]
    places: dict[Node, tuple[float, float]]
    connected: set[Node]
    active: set[Node]

    @classmethod
    def of(cls, graph: nx.Graph, wiring: Wiring) -> Scene:
        """Place the neurons by their x; where all coordinates coincide (width 0), by their slot."""
        ordered = sorted(wiring.stages, key=lambda stage: (stage.depth, stage.column))
        rows = [list(row) for _, row in groupby(ordered, key=lambda stage: stage.depth)]
        connected = {node for node in graph if graph.degree[node]}
        scene = cls(graph, wiring, rows, {}, connected, live(graph))
        data = graph.nodes
        low, wide = _extent([data[node]["x"] for node in graph])
        near, deep = _extent([data[node].get("z", 0.0) for node in graph])
        for row, stages in enumerate(rows):
            share = (1 - GUTTER * (len(stages) - 1)) / len(stages)
            for column, stage in enumerate(stages):
                nodes = scene.nodes(stage)
                for node in nodes:
                    x = (data[node]["x"] - low) / wide if wide else (data[node]["slot"] + 0.5) / len(nodes)
                    z = (data[node]["z"] - near) / deep - 0.5 if deep else 0.0
                    left = column * (share + GUTTER)
                    scene.places[node] = (left + share * x + SLANT[0] * z, row + SLANT[1] * z)
        return scene

    def nodes(self, stage: Stage) -> list[Node]:
        """The nodes of a stage in the order of neurons."""
        return [(stage.name, neuron) for neuron in range(self.wiring.populations[stage.population].size)]

    def heads(self, stage: Stage) -> list[tuple[int, float, float]]:
        """(head, left, right) of each head's stretch from left to right; none where they overlap, or without heads."""
        if self.wiring.populations[stage.population].head_axis is None:
            return []
        spans: dict[int, list[float]] = {}
        for node in self.nodes(stage):
            spans.setdefault(self.graph.nodes[node]["head"], []).append(self.places[node][0])
        ordered = sorted((min(xs), max(xs), head) for head, xs in spans.items())
        gaps = [(before[1], after[0]) for before, after in pairwise(ordered)]
        if any(left >= right for left, right in gaps):
            return []
        pad = max([MARGIN, *((right - left) / 2 for left, right in gaps)])
        borders = [ordered[0][0] - pad, *((left + right) / 2 for left, right in gaps), ordered[-1][1] + pad]
        return [(head, *ends) for (*_, head), ends in zip(ordered, pairwise(borders), strict=True)]

    def spacing(self, stage: Stage, scale: tuple[float, float]) -> float:
        """About how far apart the neurons of a stage stand, with a plot width and a row worth ``scale``."""
        places = np.array([self.places[node] for node in self.nodes(stage)])
        if len(places) == 1:
            return scale[0]
        wide, high = np.ptp(places, axis=0) * scale
        return float(high / np.sqrt(len(places)) if high else wide / (len(places) - 1))


def _extent(values: list[float]) -> tuple[float, float]:
    return min(values), max(values) - min(values)
