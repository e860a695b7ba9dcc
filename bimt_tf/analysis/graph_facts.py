"""More facts on a connection graph's neurons and edges, for other tools: module, activity, effect (graph.py).

What is not known of a node is not on it: a stage that no hook shows (the inputs of a transformer) has no activity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import networkx as nx
import torch
from jaxtyping import Shaped
from torch import Tensor

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.ablate import ablate_each
from bimt_tf.analysis.activations import flat_neurons, require_examples, run_hooked
from bimt_tf.analysis.modularity import communities
from bimt_tf.analysis.progress import Progress
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError

__all__ = ["NO_MODULE", "EdgeFacts", "add_activity_", "add_edge_facts_", "add_effects_", "add_modules_", "effects_of"]

NO_MODULE = -1
"""The ``module`` of a neuron without edges."""

CONSTANT = 1e-6
"""Of a neuron's own size: what varies by less does not vary."""

EdgeFacts = Mapping[tuple[str, int, int], Mapping[str, float]]
"""(parameter, source neuron, target neuron) -> name -> number."""


def add_modules_(graph: nx.Graph) -> None:
    """Give every node its ``module`` by greedy modularity: 0 for the largest; -1 for a neuron without edges."""
    number = 0
    for part in communities(graph):
        alone = all(graph.degree[node] == 0 for node in part)
        for node in part:
            graph.nodes[node]["module"] = NO_MODULE if alone else number
        number += not alone


def add_activity_(graph: nx.Graph, bimt: BIMT, inputs: Shaped[Tensor, "batch ..."]) -> None:
    """Give nodes their ``activity``: the standard deviation over examples and tokens, each token around its own mean.

    Of a neuron that stands at several stages of one node (a shared residual stream), the largest.

    Raises:
        InputError: for no examples, or activations that are not finite.
    """
    require_examples(inputs)
    seen: dict[str, list[float]] = {}

    def save(stage: str, hook: str, activation: Tensor) -> None:
        flat = flat_neurons(hook, activation).double()
        if not flat.isfinite().all():
            raise InputError(f"hook {hook!r} has NaN or infinite activations on these examples")
        squares = (flat - flat.mean(0)).square()
        seen[stage] = squares.flatten(0, -2).mean(0).sqrt().tolist()

    hooks = stage_hooks(bimt.model, bimt.wiring)
    with torch.no_grad():
        run_hooked(bimt.model, inputs, {hook: partial(save, stage, hook) for stage, hook in hooks.items()})
    _put(graph, bimt, "activity", seen)


def effects_of(
    bimt: BIMT,
    inputs: Shaped[Tensor, "batch ..."],
    loss: Callable[[Any], float],
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """Stage -> how much the loss rises when each of its neurons is set to its mean, at all tokens, alone.

    A neuron that is its mean on every example has no effect, and is not tried.

    Args:
        bimt: the network; stages that no hook shows are left out.
        inputs: the examples.
        loss: the model's output -> a number.
        progress: told (done, of) behind every stage.

    Raises:
        InputError: as ``ablate_each``.
    """
    hooks = stage_hooks(bimt.model, bimt.wiring)
    moves: dict[str, list[int]] = {}

    def look(hook: str, activation: Tensor) -> None:
        flat = flat_neurons(hook, activation)
        away = (flat - flat.mean(0)).abs().flatten(0, -2).amax(0)
        size = flat.abs().flatten(0, -2).amax(0)
        moves[hook] = (away > CONSTANT * size).nonzero().flatten().tolist()

    run_hooked(bimt.model, inputs, {hook: partial(look, hook) for hook in hooks.values()})
    found = {}
    for stage, hook in hooks.items():
        found[stage] = [0.0] * bimt.wiring.populations[_population(bimt, stage)].size
        if moves[hook]:
            for one in ablate_each(bimt.model, hook, inputs, loss, neurons=moves[hook]):
                found[stage][one.neuron] = one.change
        if progress is not None:
            progress(len(found), len(hooks))
    return found


def _population(bimt: BIMT, stage: str) -> str:
    return next(one.population for one in bimt.wiring.stages if one.name == stage)


def add_effects_(graph: nx.Graph, bimt: BIMT, effects: Mapping[str, list[float]]) -> None:
    """Give nodes their ``effect``, as :func:`effects_of` has it; of several stages of one node, the largest."""
    _put(graph, bimt, "effect", effects)


def add_edge_facts_(graph: nx.Graph, bimt: BIMT, facts: EdgeFacts) -> None:
    """Give edges more numbers by name.

    Raises:
        InputError: for an edge that the graph does not have, or a name that it has already.
    """
    shared = graph.graph["residual"] == "shared"
    ends = {c.parameter: (c.source, c.target) for c in bimt.wiring.connections}
    for (parameter, source, target), more in facts.items():
        stages = ends.get(parameter)
        keys = [s.population if shared else s.name for s in stages] if stages else ["", ""]
        u, v = (keys[0], source), (keys[1], target)
        data = graph.get_edge_data(u, v, key=parameter) if graph.is_multigraph() else graph.get_edge_data(u, v)
        if data is None:
            raise InputError(f"the graph has no edge of {parameter} from neuron {source} to neuron {target}")
        for name, value in more.items():
            if name in ("weight", "sign", "parameter"):
                raise InputError(f"an edge has its {name} already: give the number another name")
            data[name] = float(value)


def _put(graph: nx.Graph, bimt: BIMT, name: str, values: Mapping[str, list[float]]) -> None:
    for node, stages in _stages(graph, bimt):
        told = [values[stage][node[1]] for stage in stages if stage in values]
        if told:
            graph.nodes[node][name] = float(max(told))


def _stages(graph: nx.Graph, bimt: BIMT) -> Iterator[tuple[Any, list[str]]]:
    """Each node, and the stages that it stands for."""
    of: dict[str, list[str]] = {}
    for stage in bimt.wiring.stages:
        of.setdefault(stage.population, []).append(stage.name)
    shared = graph.graph["residual"] == "shared"
    for node in graph:
        yield node, of[node[0]] if shared else [node[0]]
