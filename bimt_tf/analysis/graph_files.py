"""Connection graphs as files for other tools, GraphML, GEXF and NetworkX's node-link JSON, and back without loss.

In a file a node is called "population:neuron"; an edge's key is its ``parameter``. NetworkX's readers give those names
and leave out some of what a file says (the graph's own attributes in GEXF, keys of parallel edges);
:func:`read_graph` gives the graph that was written: nodes, keys, attributes and their types.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from io import BytesIO
from pathlib import Path
from typing import Any

import networkx as nx

from bimt_tf.core.population import Node
from bimt_tf.errors import InputError, unknown

__all__ = ["FORMATS", "graph_bytes", "read_graph"]

FORMATS = ("graphml", "gexf", "json")
WHOLE = ("neuron", "slot", "head", "depth", "module", "sign")
WORDS = ("population", "stage", "parameter")
"""Attributes that are whole numbers, and words; all others are numbers with a point."""
NOT_OURS = ("id", "label", "mutual", "key")


def graph_bytes(graph: nx.Graph, form: str) -> bytes:
    """A connection graph as the content of a file.

    Args:
        graph: as ``connection_graph`` makes it.
        form: "graphml", "gexf" or "json".

    Raises:
        InputError: for another format.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    named = nx.MultiGraph() if graph.is_multigraph() else nx.Graph()
    named.graph.update(graph.graph)
    named.add_nodes_from((_word(node), data) for node, data in graph.nodes(data=True))
    for u, v, data in graph.edges(data=True):
        key = {"key": data["parameter"]} if graph.is_multigraph() else {}
        named.add_edge(_word(u), _word(v), **key, **data)
    out = BytesIO()
    if form == "json":
        return json.dumps(nx.node_link_data(named, edges="edges")).encode()
    if form == "graphml":
        nx.write_graphml(named, out)
    else:
        named.graph["name"] = graph.graph["residual"]  # the one attribute of a graph that GEXF has a place for
        nx.write_gexf(named, out)
    return out.getvalue()


def read_graph(path: str | Path, form: str | None = None) -> nx.Graph:
    """The connection graph in a file that ``export`` wrote, as it was: nodes are (population or stage, neuron).

    Args:
        path: the file.
        form: its format; what its name ends with unless given.

    Raises:
        InputError: for another format, a file that cannot be read, or one that holds no connection graph.
    """
    path = Path(path)
    form = form if form is not None else path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    try:
        content = path.read_bytes()
        read, residual = _read(content, form)
        made = nx.MultiGraph(residual=residual) if read.is_multigraph() else nx.Graph(residual=residual)
        made.add_nodes_from((_node(node), _typed(data)) for node, data in read.nodes(data=True))
        for u, v, data in read.edges(data=True):
            typed = _typed(data)
            key = {"key": typed["parameter"]} if made.is_multigraph() else {}
            made.add_edge(_node(u), _node(v), **key, **typed)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, xml.ParseError, nx.NetworkXException) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise InputError(f"{path} holds no connection graph as {form}: {said}") from error
    return made


def _read(content: bytes, form: str) -> tuple[nx.Graph, str]:
    """The graph with words for nodes, and its reading of the residual stream."""
    if form == "json":
        found = nx.node_link_graph(json.loads(content), edges="edges")
        return found, found.graph["residual"]
    if form == "graphml":
        found = nx.read_graphml(BytesIO(content))
        return found, found.graph["residual"]
    found = nx.read_gexf(BytesIO(content))
    whole = xml.fromstring(content).find("{*}graph")
    residual = "" if whole is None else whole.get("name", "")
    if residual not in ("shared", "unrolled"):
        raise ValueError("it does not say how it reads the residual stream")
    return found, residual


def _word(node: Node) -> str:
    return f"{node[0]}:{node[1]}"


def _node(word: str) -> Node:
    name, neuron = word.rsplit(":", 1)
    return name, int(neuron)


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """Attributes in the types that they were written with."""
    own = {name: value for name, value in data.items() if name not in NOT_OURS}
    return {
        name: int(value) if name in WHOLE else str(value) if name in WORDS else float(value)
        for name, value in own.items()
    }
