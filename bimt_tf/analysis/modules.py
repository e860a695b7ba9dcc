"""Modules: the communities of a connection graph, numbered, named and listed, and how stable they are.

A module is a community of two or more neurons (modularity.py). Modules are numbered from 1, the one with most neurons
first. Their **stability** is measured over restarts of Louvain with the neurons in other orders, whichever method found
them (greedy has nothing random but ties): the adjusted Rand index (Hubert and Arabie, 1985) of each restart's
communities with those that are reported, 1 where all neurons are sorted alike and 0 where they agree as chance would.
"""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import networkx as nx
from sklearn.metrics import adjusted_rand_score

from bimt_tf.analysis.modularity import METHODS, Method, communities, find, quality, summed
from bimt_tf.analysis.module_names import module_name
from bimt_tf.analysis.null_models import NullComparison
from bimt_tf.analysis.plain import plain
from bimt_tf.core.population import Node
from bimt_tf.errors import InputError, require_kind, require_known, require_positive, require_seed, require_whole

__all__ = ["Module", "Modules", "Stability", "find_modules", "stability"]


class Module(NamedTuple):
    """A module. ``inside``: weights between two of its neurons; ``joined``: number of another module -> weights to it.

    ``share`` is what the weights inside are of all |w|.
    """

    number: int
    name: str
    nodes: tuple[Node, ...]
    inside: int
    share: float
    joined: dict[int, int]


class Stability(NamedTuple):
    """Agreement of Louvain's restarts with the reported communities (adjusted Rand index), and the range of their Q."""

    mean: float
    lowest: float
    q_lowest: float
    q_highest: float
    restarts: int


class Modules(NamedTuple):
    """What :func:`find_modules` found. ``alone``: neurons with weights that are in no module.

    ``stability`` and ``nulls`` are empty (None, ()) where they were not asked for.
    """

    q: float
    modules: tuple[Module, ...]
    alone: tuple[Node, ...]
    weights: int
    residual: str
    method: Method
    resolution: float
    seed: int
    stability: Stability | None = None
    nulls: tuple[NullComparison, ...] = ()

    def module(self, number: int) -> Module:
        """The module of this number.

        Raises:
            InputError: if there is none.
        """
        if number not in range(1, len(self.modules) + 1):
            raise InputError(f"there are modules 1 to {len(self.modules)}, found {number!r}")
        return self.modules[number - 1]

    def module_of(self, node: Node) -> int | None:
        """The number of a neuron's module; None for one that is in none."""
        return next((one.number for one in self.modules if node in one.nodes), None)

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line."""
        sizes = ", ".join(str(len(one.nodes)) for one in self.modules)
        return (
            f"Modules(Q {self.q:.3f}, {len(self.modules)} modules of {sizes} neurons, {self.method}, {self.residual})"
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{word}</th>" for word in ("", "touches", "neurons", "weights inside", "of all |w|"))
        rows = "".join(
            f"<tr><td>{one.number}</td><td>{html.escape(one.name)}</td><td>{len(one.nodes)}</td><td>{one.inside}</td>"
            f"<td>{one.share:.0%}</td></tr>"
            for one in self.modules
        )
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{rows}</table>"


def find_modules(
    graph: nx.Graph,
    *,
    method: Method = "greedy",
    resolution: float = 1.0,
    seed: int = 0,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Modules:
    """The modules of a connection graph.

    Args:
        graph: as :func:`bimt_tf.analysis.graph.connection_graph` gives it, with the residual stream shared or unrolled.
        method, resolution, seed: as :func:`bimt_tf.analysis.modularity.communities`.
        labels: population -> a name for each of its neurons, as tasks name inputs and outputs.

    Raises:
        InputError: for what is no connection graph, or what ``communities`` refuses.
    """
    require_kind("graph", graph, nx.Graph)
    if "residual" not in graph.graph:
        raise InputError("modules are those of a connection_graph(bimt), found another graph")
    parts = cast("list[frozenset[Node]]", communities(graph, method, resolution, seed))
    real = sorted((sorted(part) for part in parts if len(part) > 1), key=lambda part: (-len(part), part))
    number: dict[Node, int] = {node: i for i, part in enumerate(real, 1) for node in part}
    between: dict[tuple[int, int], int] = {}
    total, within = 0.0, [0.0] * (len(real) + 1)
    for u, v, weight in graph.edges(data="weight"):
        ends = number.get(u, 0), number.get(v, 0)
        for pair in {ends, ends[::-1]}:
            between[pair] = between.get(pair, 0) + 1
        total += weight
        if ends[0] == ends[1]:
            within[ends[0]] += weight
    found = tuple(
        Module(
            i,
            module_name(part, graph, labels),
            tuple(part),
            between.get((i, i), 0),
            within[i] / total if total else 0.0,
            {j: between[i, j] for j in range(1, len(real) + 1) if j != i and (i, j) in between},
        )
        for i, part in enumerate(real, 1)
    )
    alone = tuple(sorted(node for node in graph if node not in number and graph.degree[node]))
    q = quality(graph, parts, resolution)
    edges = graph.number_of_edges()
    return Modules(q, found, alone, edges, graph.graph["residual"], method, resolution, seed)


def stability(
    graph: nx.Graph, *, method: Method = "greedy", resolution: float = 1.0, seed: int = 0, restarts: int = 100
) -> Stability:
    """How far restarts of Louvain sort the neurons that have weights as the reported communities do.

    Args:
        graph: as :func:`find_modules`.
        method, resolution, seed: those of the communities that are compared with.
        restarts: how many; their seeds follow ``seed``.

    Raises:
        InputError: for a graph without weights, or a value that cannot be.
    """
    require_kind("graph", graph, nx.Graph)
    require_known("method of finding modules", method, METHODS)
    require_positive("resolution", resolution)
    require_seed(seed, bits=32)
    require_whole("restarts", restarts)
    simple, _ = summed(graph)
    if not len(simple):
        raise InputError("the graph has no weights: it has no modules to find again")
    reported = _marks(find(simple, method, resolution, seed))
    again = [find(simple, "louvain", resolution, seed + restart) for restart in range(1, restarts + 1)]
    agreement = [float(adjusted_rand_score(*_aligned(reported, _marks(parts)))) for parts in again]
    qs = [quality(simple, parts, resolution) for parts in again]
    return Stability(statistics.fmean(agreement), min(agreement), min(qs), max(qs), restarts)


def _marks(parts: Sequence[set[int]]) -> dict[int, int]:
    return {node: i for i, part in enumerate(parts) for node in part}


def _aligned(first: dict[int, int], second: dict[int, int]) -> tuple[list[int], list[int]]:
    return list(first.values()), [second[node] for node in first]
