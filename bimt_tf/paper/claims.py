"""The paper's qualitative claims that weights alone can show, computed: true or false, with its number, per network.

Weights count when they are above ``training.active`` in size (after an elimination: when they are not zero), neurons
when they are live: on a path of such weights
from an input to an output (analysis/paths.py). Everything is measured on held-out examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import networkx as nx
import torch
from torch import Tensor

from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.module_effects import knock_out
from bimt_tf.analysis.modules import Module, find_modules
from bimt_tf.analysis.paths import live, upstream
from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.runs.trained import Trained

__all__ = ["CLAIMS", "Claim", "Finding", "pruning_curve_left_of", "module_knockouts"]

HELD = 0.95  # |correlation| from which a neuron is said to hold a quantity (paper, Section 3.1)


class Finding(NamedTuple):
    """Whether a claim holds for one network, and the numbers behind that."""

    holds: bool
    numbers: str


class Claim(NamedTuple):
    """A claim about the networks of one task."""

    task: str
    text: str
    check: Callable[[Trained], Finding]


def _unrolled(run: Trained) -> nx.Graph:
    return connection_graph(run.bimt, residual="unrolled", threshold=run.threshold)


def _hidden(run: Trained) -> list[str]:
    """The hidden stages of an MLP, shallow to deep."""
    return [stage.name for stage in run.bimt.wiring.stages if stage.name.startswith("hidden")]


def _correlations(values: Tensor, target: Tensor) -> Tensor:
    """|correlation| of each column of ``values`` [n, neurons] with ``target`` [n]; 0 for a constant column."""
    a, b = values.double() - values.double().mean(0), target.double() - target.double().mean()
    size = a.norm(dim=0) * b.norm()
    return torch.where(size > 0, (a * b[:, None]).sum(0) / size, 0.0).abs()


def _two_modules(run: Trained) -> Finding:
    graph = _unrolled(run)
    first, second = upstream(graph, ("output", 0)), upstream(graph, ("output", 1))
    shared = first & second
    return Finding(bool(first and second) and not shared, f"{len(shared)} shared neurons")


def _three_in_second_layer(run: Trained) -> Finding:
    stage = _hidden(run)[1]
    count = sum(name == stage for name, _ in live(_unrolled(run)))
    return Finding(count == 3, f"{count} neurons")


def _one_holds_squared_distance(run: Trained) -> Finding:
    stage = _hidden(run)[-1]
    neurons = [neuron for name, neuron in live(_unrolled(run)) if name == stage]
    x, hook = run.held_out.inputs, f"layers.{len(_hidden(run)) - 1}.hook_post"
    target = (x[:, 0] - x[:, 1]) ** 2 + (x[:, 2] - x[:, 3]) ** 2
    values = activations(run.model, hook, inputs=x)
    best = float(_correlations(values[:, neurons], target).max()) if neurons else 0.0
    return Finding(len(neurons) == 1 and best > HELD, f"{len(neurons)} neurons, best |r| {best:.3f}")


def _one_class(run: Trained) -> Finding:
    last = [v if v[0] == "output" else u for u, v in _unrolled(run).edges() if "output" in (u[0], v[0])]
    return Finding(len(set(last)) == 1, f"weights lead to {len(set(last))} of 2 classes")


def module_knockouts(run: Trained) -> list[tuple[int, float]]:
    """(neurons, held-out accuracy without them) of each module of a token MLP, largest first.

    Here a module is a community of two or more live neurons of the embedding and the hidden layers, in the graph
    without the outputs. Knocked out, its neurons are 0 for both tokens.
    """
    graph = _unrolled(run)
    inner = graph.subgraph(sorted(node for node in live(graph) if node[0] != "output"))
    targets, options = run.held_out.targets, run.config.data

    def accuracy(outputs: Tensor) -> float:
        return run.task.metrics(options, outputs, targets)["accuracy"]

    def without(module: Module) -> float:
        inputs, aim = run.held_out.inputs, {"accuracy": accuracy}
        return knock_out(run.model, run.bimt.wiring, module.nodes, inputs, aim, value="zero")["accuracy"]

    return [(len(module.nodes), without(module)) for module in find_modules(inner).modules]


def _modules_matter(run: Trained) -> Finding:
    found = module_knockouts(run)
    each = ", ".join(f"{accuracy:.0%}" for _, accuracy in found)
    return Finding(len(found) > 1 and all(accuracy < 0.5 for _, accuracy in found), f"{len(found)} modules: {each}")


def _nine_and_a_sign(run: Trained) -> Finding:
    neurons = [neuron for name, neuron in live(_unrolled(run)) if name == "embed"]
    table: Any = run.model.get_parameter("embed.weight").detach()
    sign = run.task.features(run.config.data)["sign"].to(table)  # type: ignore[attr-defined]  # of S4
    best = float(_correlations(table[:, neurons], sign).max()) if neurons else 0.0
    return Finding(len(neurons) == 9 and best > HELD, f"{len(neurons)} neurons, sign |r| {best:.3f}")


def pruning_curve_left_of(curve: Sequence[PrunePoint], other: Sequence[PrunePoint]) -> Finding:
    """Whether ``curve`` needs no more weights than ``other`` for any loss that both reach (paper, Figure A1)."""
    levels = sorted({point.loss for point in (*curve, *other)})
    pairs = [(_fewest(curve, level), _fewest(other, level)) for level in levels]
    both = [(mine, theirs) for mine, theirs in pairs if mine is not None and theirs is not None and theirs > 0]
    if not both:
        return Finding(False, "no loss that both reach")
    logs = [torch.tensor(max(mine, 1) / theirs).log() for mine, theirs in both]
    mean = float(torch.stack(logs).mean().exp())
    share = sum(mine <= theirs for mine, theirs in both) / len(both)
    return Finding(share == 1, f"{mean:.2f} times the weights, no more at {share:.0%} of the losses")


def _fewest(curve: Sequence[PrunePoint], loss: float) -> int | None:
    return min((point.active_weights for point in curve if point.loss <= loss), default=None)


CLAIMS = (
    Claim("symbolic-a", "splits into two modules that share no path", _two_modules),
    Claim("symbolic-b", "three active neurons in the second hidden layer", _three_in_second_layer),
    Claim("symbolic-c", "one active neuron in the last hidden layer, |r| with I = (x1−x2)²+(x3−x4)² above 0.95",
          _one_holds_squared_distance),
    Claim("two-moon", "all active weights lead to one class", _one_class),
    Claim("modular-addition", "modules whose knock-out drops the accuracy below 50%", _modules_matter),
    Claim("s4", "nine active embedding neurons, one of them the sign (|r| above 0.95)", _nine_and_a_sign),
)  # fmt: skip
