"""Whether chance would be as modular: Q of networks that keep the layers and are random otherwise.

Three null models; each keeps, in every tensor, which neurons its weights may join, how many weights there are and
their sizes:

    sizes      the weights stay where they are, and their sizes are shuffled within each tensor;
    swaps      two weights of a tensor exchange their targets, many times over (Maslov and Sneppen, 2002): every neuron
               keeps its number of weights in each tensor, and on one of its two sides their sizes too;
    entries    the entries of a tensor are shuffled, zeros too, among the neurons that have a weight in it; each of them
               keeps at least one, but not its number of weights.

In each draw, communities are searched anew by the same method; a draw differs from the network in nothing but what its
null model shuffles. "sizes" asks whether weights are large where they should be, "swaps" whether connections go where
they should, given how many each neuron has, and "entries" both at once. Of networks without structure, z has mean 0 and
deviation 1.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import networkx as nx

from bimt_tf.analysis.modularity import METHODS, Method, find, quality, summed
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.progress import Progress
from bimt_tf.errors import InputError, require_kind, require_known, require_positive, require_seed, require_whole

__all__ = ["NULLS", "Null", "NullComparison", "compare_with_null", "null_graphs"]

Null = Literal["sizes", "swaps", "entries"]

NULLS: tuple[Null, ...] = ("sizes", "swaps", "entries")
TRIES = 20
"""Exchanges that are tried for each weight of a tensor; ten accepted ones mix well (Milo et al., 2003)."""
MIDDLE = 0.95
"""Share of the draws that lies in the interval."""

Edge = tuple[Any, Any, float]
"""(source, target, |w|)."""


class NullComparison(NamedTuple):
    """A network's Q against that of draws from a null model.

    ``low``, ``high``: the middle 95% of the draws. ``z``: how many standard deviations of the draws Q lies above their
    mean; None where no two draws differ, with the ``reason``. ``p``: share of the draws whose Q is at least the
    network's, the network counted as one: (1 + how many) / (1 + draws), so never below 1 / (1 + draws). ``moved``: mean
    share of the weights that a draw changes.
    """

    null: Null
    q: float
    mean: float
    deviation: float
    low: float
    high: float
    z: float | None
    p: float
    draws: int
    moved: float
    reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """The result as numbers and words, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line."""
        z = f"z {self.z:.2f}" if self.z is not None else f"no z: {self.reason}"
        return (
            f"NullComparison({self.null}: Q {self.q:.3f}, draws {self.low:.3f} to {self.high:.3f}, {z}, p {self.p:.3g})"
        )


def compare_with_null(
    graph: nx.Graph,
    null: Null,
    draws: int = 200,
    *,
    method: Method = "greedy",
    resolution: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> NullComparison:
    """Q of a connection graph against ``draws`` networks of a null model.

    Args:
        graph: as :func:`bimt_tf.analysis.graph.connection_graph` gives it; only weights above a threshold should be in
            it, for every edge counts as a connection, however small.
        null: "sizes", "swaps" or "entries"; see the module's text.
        draws: how many; at least 2.
        method, resolution: how communities are found, in the network and in each draw.
        seed: of the draws.
        progress: told (done, of) behind every draw.

    Raises:
        InputError: for a graph without weights or without the edge attribute ``parameter``, or a value that cannot be.
    """
    require_known("method of finding modules", method, METHODS)
    require_positive("resolution", resolution)
    require_whole("draws", draws, at_least=2)

    def best(one: nx.Graph) -> float:
        simple, _ = summed(one)
        return quality(simple, find(simple, method, resolution, seed), resolution)

    tensors = _tensors(graph)
    present = [set(edges) for edges in tensors.values()]
    weights = sum(map(len, present))
    values, moved = [], 0
    for edges in _draws(tensors, null, draws, seed):
        values.append(best(_graph(edges)))
        moved += sum(len(set(drawn) - there) for drawn, there in zip(edges, present, strict=True))
        if progress is not None:
            progress(len(values), draws)
    q, mean, deviation = best(graph), statistics.fmean(values), statistics.stdev(values)
    reason = None if deviation > 1e-12 else "every draw has the same Q"
    low, high = _middle(values)
    at_least = sum(value >= q - 1e-12 for value in values)
    z = (q - mean) / deviation if reason is None else None
    share = moved / (weights * draws)
    return NullComparison(null, q, mean, deviation, low, high, z, (1 + at_least) / (1 + draws), draws, share, reason)


def null_graphs(graph: nx.Graph, null: Null, draws: int, seed: int = 0) -> Iterator[nx.Graph]:
    """Draws from a null model as graphs; neurons without weights are left out, edges keep ``weight`` and ``parameter``.

    Raises:
        InputError: as :func:`compare_with_null`.
    """
    tensors = _tensors(graph)
    for edges in _draws(tensors, null, draws, seed):
        yield _graph(edges, list(tensors))


def _draws(tensors: dict[str, list[Edge]], null: Null, draws: int, seed: int) -> Iterator[list[list[Edge]]]:
    require_known("null model", null, NULLS)
    require_seed(seed)
    generator = random.Random(f"{seed} {null}")
    shuffle = {"sizes": _sizes, "swaps": _swaps, "entries": _entries}[null]
    for _ in range(draws):
        yield [shuffle(edges, generator) for edges in tensors.values()]


def _tensors(graph: nx.Graph) -> dict[str, list[Edge]]:
    """The weights of each tensor, all of one direction: from one layer (the node's first word) to another."""
    require_kind("graph", graph, nx.Graph)
    found: dict[str, list[Edge]] = {}
    for u, v, data in graph.edges(data=True):
        if "parameter" not in data or "weight" not in data:
            raise InputError("null models shuffle within tensors: each edge needs the attributes parameter and weight")
        source, target = (u, v) if str(u[0]) <= str(v[0]) else (v, u)
        found.setdefault(data["parameter"], []).append((source, target, data["weight"]))
    if not found:
        raise InputError("the graph has no weights: there is nothing to shuffle")
    for name, edges in found.items():
        layers = {(source[0], target[0]) for source, target, _ in edges}
        if len(layers) > 1 or any(source == target for source, target in layers):
            raise InputError(f"the weights of {name} do not join two layers of neurons: found {sorted(layers)}")
    return {name: sorted(found[name]) for name in sorted(found)}


def _sizes(edges: list[Edge], generator: random.Random) -> list[Edge]:
    weights = [weight for *_, weight in edges]
    generator.shuffle(weights)
    return [(source, target, weight) for (source, target, _), weight in zip(edges, weights, strict=True)]


def _swaps(edges: list[Edge], generator: random.Random) -> list[Edge]:
    return _walked(edges, generator, relocations=False)


def _entries(edges: list[Edge], generator: random.Random) -> list[Edge]:
    weights = [edge[2] for edge in edges]
    generator.shuffle(weights)
    walked = _walked(edges, generator, relocations=True)
    return [(source, target, weight) for (source, target, _), weight in zip(walked, weights, strict=True)]


def _walked(edges: list[Edge], generator: random.Random, *, relocations: bool) -> list[Edge]:
    """The edges behind a random walk of exchanges, every other step a relocation if there are any.

    A step that would put two weights at one place, or leave a neuron without weights, is not made; so all arrangements
    come to be equally likely.
    """
    count = len(edges)
    ends = [edge[0] for edge in edges], [edge[1] for edge in edges]
    sources, targets = ends
    neurons = [sorted(set(names)) for names in ends]
    present = set(zip(sources, targets, strict=True))
    held = Counter(sources) + Counter(targets)  # layers differ, so a source is no target
    draw = generator.random
    for step in range((2 if relocations else 1) * TRIES * count):
        i = int(draw() * count)
        if relocations and step % 2:
            place = neurons[0][int(draw() * len(neurons[0]))], neurons[1][int(draw() * len(neurons[1]))]
            left = [old for old, new in zip((sources[i], targets[i]), place, strict=True) if old != new]
            if place not in present and all(held[old] > 1 for old in left):
                present.remove((sources[i], targets[i]))
                held.subtract((sources[i], targets[i]))
                sources[i], targets[i] = place
                present.add(place)
                held.update(place)
            continue
        j = int(draw() * count)
        first, second = (sources[i], targets[j]), (sources[j], targets[i])
        if first not in present and second not in present:  # so i is not j, and both their ends differ
            present -= {(sources[i], targets[i]), (sources[j], targets[j])}
            present |= {first, second}
            targets[i], targets[j] = targets[j], targets[i]
    return [(source, target, edge[2]) for source, target, edge in zip(sources, targets, edges, strict=True)]


def _graph(tensors: Sequence[Sequence[Edge]], names: Sequence[str] | None = None) -> nx.Graph:
    """The weights as a graph; several between two neurons stay apart."""
    made = nx.MultiGraph()
    for name, edges in zip(names or [""] * len(tensors), tensors, strict=True):
        for source, target, weight in edges:
            made.add_edge(source, target, key=name or None, weight=weight, parameter=name)
    return made


def _middle(values: Sequence[float]) -> tuple[float, float]:
    ordered, outside = sorted(values), (1 - MIDDLE) / 2
    last = len(ordered) - 1
    return ordered[round(outside * last)], ordered[round((1 - outside) * last)]
