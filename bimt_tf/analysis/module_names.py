"""What a module is called: by the inputs, heads, layers and outputs that its neurons are of.

``reads y1 · block 0 head 0 · writes y`` has the input y1 and the output y among its neurons and neurons of a head
between them. A module without an input or output says neither; one with many of them says how many.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import networkx as nx

from bimt_tf.analysis.graph import NO_HEAD
from bimt_tf.core.population import Node

__all__ = ["OUTPUT", "module_name"]

MOST_NAMED = 4
"""Inputs or outputs that a name lists; of more it says how many."""

OUTPUT = "output"
"""The population that outputs are."""

Labels = Mapping[str, Sequence[str]]
"""Population -> a name for each of its neurons."""


def module_name(nodes: Collection[Node], graph: nx.Graph, labels: Labels | None = None) -> str:
    """The name of a module of a connection graph.

    Args:
        nodes: its neurons, nodes of ``graph``.
        graph: as :func:`bimt_tf.analysis.graph.connection_graph` gives it.
        labels: names of inputs and outputs, as tasks give them; numbers where there are none.
    """
    first = min(depth for _, depth in graph.nodes(data="depth"))
    by_depth = sorted(nodes, key=lambda node: (graph.nodes[node]["depth"], node))
    read = [node for node in by_depth if graph.nodes[node]["depth"] == first]
    written = [node for node in by_depth if graph.nodes[node]["population"] == OUTPUT]
    found = [
        f"{word} {_listed(there, graph, labels or {})}" if there else ""
        for word, there in (("reads", read), ("writes", written))
    ]
    inner = [node for node in by_depth if node not in read and node not in written]
    middle = list(dict.fromkeys(_places(inner, graph)))
    if "residual" in middle and len(middle) > 1:
        middle.remove("residual")  # nearly every module of a transformer has some of the stream
    return " · ".join(word for word in (found[0], *middle, found[1]) if word)


def _listed(nodes: Sequence[Node], graph: nx.Graph, labels: Labels) -> str:
    """Inputs or outputs by their names, or how many they are."""
    population = graph.nodes[nodes[0]]["population"]
    if len(nodes) > MOST_NAMED:
        total = sum(data["population"] == population for _, data in graph.nodes(data=True))
        return f"{len(nodes)} of {total} {_plural(population)}"
    names = labels.get(population)
    numbers = [graph.nodes[node]["neuron"] for node in nodes]
    if names is not None:
        return ", ".join(names[number] for number in numbers)
    return f"{population} {', '.join(map(str, numbers))}"


def _plural(population: str) -> str:
    return f"{population}s" if population in ("input", "output") else f"neurons of {population}"


def _places(nodes: Sequence[Node], graph: nx.Graph) -> Iterator[str]:
    """Where the neurons stand, in plain words."""
    for node in nodes:
        population, head = graph.nodes[node]["population"], graph.nodes[node]["head"]
        block = re.fullmatch(r"blocks\.(\d+)\.(\w+)", population)
        if block and head != NO_HEAD:
            yield f"block {block[1]} head {head}"
        elif block:
            yield f"block {block[1]} {block[2].upper() if block[2] == 'mlp' else block[2]}"
        else:
            yield population
