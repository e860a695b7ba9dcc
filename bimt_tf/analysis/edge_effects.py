"""The circuit with numbers on its wires: what each weight that is left does.

For every active weight (:mod:`bimt_tf.analysis.active`), exactly:

- knock-out: how the metric changes if this weight alone is 0;
- interchange: how far the output moves on its way (:mod:`bimt_tf.analysis.moves`; the slope, of answers the share) if
  this weight alone carries what its source is in run B, w (s_B - s_A) added to its target, all else run A's.

Slopes of edges that lie on different paths add up where the network behind them is linear. Weights are put back bit for
bit, hooks taken off, also after an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import networkx as nx
import torch
from jaxtyping import Shaped
from torch import Tensor

from bimt_tf.adapters.weight_hooks import Ends, weight_hooks
from bimt_tf.analysis.activations import flat_neurons, require_examples, run_hooked
from bimt_tf.analysis.active import active_masks
from bimt_tf.analysis.clean_run import number_of
from bimt_tf.analysis.exchange import Exchange, Read
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.weights import without
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection, Node
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_callable, require_kind
from bimt_tf.models.mlp import MLP
from bimt_tf.models.modes import evaluating
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer, has_norm

__all__ = ["EdgeEffect", "EdgeEffects", "edge_effects", "put_on"]


class EdgeEffect(NamedTuple):
    """What one weight does.

    ``parameter`` and ``place``: which one; ``source`` and ``target``: the (stage, neuron) that it joins; ``copy``:
    which of several tokens of one source it reads (0 where there is one). ``knock_out``: change of the metric without
    it; ``interchange``: how far the output moves when it alone carries run B's value, None if no pairs were given.
    """

    parameter: str
    place: tuple[int, ...]
    source: Node
    target: Node
    copy: int
    weight: float
    knock_out: float
    interchange: float | None

    def as_dict(self) -> dict[str, Any]:
        """The effect as plain values, ready for JSON."""
        return {**self._asdict(), "place": list(self.place), "source": list(self.source), "target": list(self.target)}


class EdgeEffects(NamedTuple):
    """``edges``: every active weight, greatest knock-out first. ``before``: the metric of the whole network."""

    edges: list[EdgeEffect]
    before: float
    examples: int
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """The effects as plain values, ready for JSON."""
        return {**self._asdict(), "edges": [edge.as_dict() for edge in self.edges]}

    def __repr__(self) -> str:
        greatest = f", greatest knock-out {self.edges[0].knock_out:.3g}" if self.edges else ""
        return f"EdgeEffects({len(self.edges)} weights, metric {self.before:.3g}{greatest})"


def edge_effects(
    bimt: BIMT,
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    pairs: tuple[Tensor, Tensor, Tensor | None] | None = None,
    *,
    read: Read | None = None,
    threshold: float = 0.0,
    progress: Progress | None = None,
) -> EdgeEffects:
    """The effects of all active weights: two runs each.

    Args:
        bimt: the model and its wiring; with ``pairs``, an MLP, a TokenMLP or a RegressionTransformer.
        inputs: what the model takes, for the knock-outs.
        metric: the model's output for ``inputs`` -> a number, such as a loss.
        pairs: inputs of run A, of run B, and the wanted output (None: run B's), as
            :func:`bimt_tf.analysis.interchange.interchange` takes them.
        read: what is measured of an output, as there.
        threshold: weights of at most this size are not active.
        progress: told (done, of) behind every weight.

    Raises:
        InputError: for no inputs, a metric that is not a finite number, pairs that ``interchange`` refuses, or a model
            of another kind with pairs.
    """
    require_kind("bimt", bimt, BIMT)
    require_examples(inputs)
    require_callable("metric", metric)
    model, parameters = bimt.model, bimt.parameters
    wires = list(_wires(bimt, threshold))
    carried = None if pairs is None else _Carried(bimt, pairs, read)
    edges = []
    with evaluating(model), torch.no_grad():
        before = number_of(metric, model(inputs), "of the whole network")
        for number, wire in enumerate(wires):
            name, place = wire.connection.parameter, wire.place
            with without(parameters, [(name, place)]):
                output = model(inputs)
            after = number_of(metric, output, f"without weight {list(place)} of {name}")
            weight = float(parameters[name][place])
            moved = None if carried is None else carried.by(wire, weight)
            source, target = ((s.name, n) for s, n in zip(wire.connection.stages, wire.neurons, strict=True))
            edges.append(EdgeEffect(name, place, source, target, wire.copy, weight, after - before, moved))
            if progress is not None:
                progress(number + 1, len(wires))
    edges.sort(key=lambda edge: -abs(edge.knock_out))
    return EdgeEffects(edges, before, len(inputs), 0 if carried is None else carried.exchange.line.pairs)


def put_on(graph: nx.Graph, effects: EdgeEffects, wiring: Wiring) -> None:
    """Write ``knock_out`` and ``interchange`` on the edges of a connection graph of the same network.

    Copies of a folded weight are one edge there: it gets the effect that is greatest in size. An edge without a path
    from input to output is no active weight, and gets none.

    Args:
        graph: of :func:`bimt_tf.analysis.graph.connection_graph`, of either reading of the residual stream.
        effects: of :func:`edge_effects`.
        wiring: the network's.

    Raises:
        InputError: for an edge that the graph does not have.
    """
    shared = graph.graph.get("residual") == "shared"
    populations = {stage.name: stage.population for stage in wiring.stages}
    for edge in effects.edges:
        ends = [(populations[stage] if shared else stage, neuron) for stage, neuron in (edge.source, edge.target)]
        key = (*ends, edge.parameter) if graph.is_multigraph() else tuple(ends)
        if not graph.has_edge(*key):
            raise InputError(f"the graph has no edge {ends[0]} to {ends[1]}: it is of another network")
        data = graph.edges[key]
        for name, value in (("knock_out", edge.knock_out), ("interchange", edge.interchange)):
            if value is not None and abs(value) >= abs(data.get(name, 0.0)):
                data[name] = value


class _Wire(NamedTuple):
    """An active entry of a connection: its place in the parameter, its copy, and the neurons that it joins."""

    connection: Connection
    place: tuple[int, ...]
    copy: int
    neurons: tuple[int, int]


def _wires(bimt: BIMT, threshold: float) -> Iterator[_Wire]:
    masks = active_masks(bimt, threshold)
    for connection in bimt.wiring.connections:
        mask = masks[connection.parameter].cpu()
        places = torch.arange(mask.numel()).view(mask.shape)
        flat = connection.flatten(places)
        for copy, source, target in connection.flatten(mask).nonzero().tolist():
            place = torch.unravel_index(flat[copy, source, target], mask.shape)
            yield _Wire(connection, tuple(int(i) for i in place), copy, (source, target))


class _Carried:
    """What single weights carry from run B into run A."""

    def __init__(self, bimt: BIMT, pairs: tuple[Tensor, Tensor, Tensor | None], read: Read | None) -> None:
        if not isinstance(bimt.model, (MLP, TokenMLP, RegressionTransformer)):
            raise InputError(
                "what single weights carry is known of MLP, TokenMLP and RegressionTransformer, "
                f"found a {type(bimt.model).__name__}"
            )
        if has_norm(bimt.model):
            raise InputError(
                "what single weights carry is not known behind a norm, which reads all neurons of the residual stream "
                f"(this model has {bimt.model.cfg.normalization_type}): ask for knock-outs of weights, without pairs"
            )
        self._ends = weight_hooks(bimt.model, bimt.wiring)
        inputs, source, wanted = pairs
        hooks = {end.source for end in self._ends.values() if end.source is not None}
        self.exchange = Exchange(bimt.model, sorted(hooks), inputs, source, wanted, read)
        seen = {hook: self.exchange.b[hook].flat - self.exchange.a[hook].flat for hook in hooks}
        self._differences: dict[str | None, Tensor] = dict(seen.items())
        if any(end.source is None for end in self._ends.values()):
            self._differences[None] = source - inputs

    def by(self, wire: _Wire, weight: float) -> float:
        """How far the output moves when this weight carries run B's value."""
        ends: Ends = self._ends[wire.connection.parameter]
        source, target = wire.neurons
        difference = self._differences[ends.source]
        folded = wire.connection.flatten(torch.empty(wire.connection.shape, device="meta")).shape[0] > 1
        added = weight * (difference[:, wire.copy, source] if folded else difference[..., source])

        def add(activation: Tensor) -> Tensor:
            flat = flat_neurons(ends.target or "output", activation).clone()
            flat[..., target] += added
            return flat.reshape(activation.shape)

        exchange = self.exchange
        if ends.target is not None:
            move = exchange.move({ends.target: add})
        else:
            move = exchange.line.move(exchange.read(add(run_hooked(exchange.model, exchange.inputs, {}))))
        return move.share if move.slope is None else move.slope
