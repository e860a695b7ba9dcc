"""Ablation of a set of a graph's nodes, such as a module: each neuron at the hook of its stage.

A node is (stage, neuron), or (population, neuron), which stands for all stages of the population: the two kinds of node
that :func:`bimt_tf.analysis.graph.connection_graph` makes. Inputs without a hook are overwritten in the model's input,
outputs in its output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import index
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.ablate import Ablation
from bimt_tf.analysis.activations import require_examples, run_hooked
from bimt_tf.analysis.clean_run import Seen, number_of, seen_at
from bimt_tf.analysis.written import Positions, Value, require_value
from bimt_tf.core.population import Node
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_callable, unknown

__all__ = ["ablate_nodes", "places_of"]

INPUT, OUTPUT = ENDS = "input", "output"


def places_of(model: nn.Module, wiring: Wiring, nodes: Iterable[Node]) -> dict[str, list[int]]:
    """Hook -> the neurons of ``nodes`` that it shows; "input" and "output" for those of the model's own ends.

    Raises:
        InputError: for no node, a stage or population that is unknown, a neuron that it does not have, or one that
            neither a hook nor an end of the model shows.
    """
    hooks = stage_hooks(model, wiring)
    found: dict[str, list[int]] = {}
    for node in nodes:
        name, neuron = _checked(wiring, node)
        stages = [stage for stage in wiring.stages if name in (stage.name, stage.population)]
        for stage in stages:
            place = hooks.get(stage.name, stage.name if stage.population in (INPUT, OUTPUT) else "")
            if not place:
                raise InputError(f"no hook of the model shows the neurons of stage {stage.name!r}: leave them out")
            if neuron not in found.setdefault(place, []):
                found[place].append(neuron)
    if not found:
        raise InputError("nodes holds no node; give e.g. [('blocks.0.mlp', 3)]")
    return found


def ablate_nodes(
    model: nn.Module,
    wiring: Wiring,
    nodes: Iterable[Node],
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    *,
    value: Value = "mean",
    position: Positions = None,
    seed: int = 0,
) -> Ablation:
    """Ablate a set of nodes of the connection graph, all at once.

    Args:
        model: a HookedRootModule or a TransformerBridge.
        wiring: its wiring.
        nodes: (stage, neuron), or (population, neuron) for all stages of the population.
        inputs: as :func:`bimt_tf.analysis.ablate.ablate` takes them.
        metric: as there.
        value: as there.
        position: as there.
        seed: as there.

    Raises:
        InputError: as :func:`places_of`, and :func:`bimt_tf.analysis.ablate.ablate`.
    """
    require_value(value, seed)
    require_examples(inputs)
    require_callable("metric", metric)
    nodes = list(nodes)
    places = places_of(model, wiring, nodes)
    output, found = seen_at(model, [place for place in places if place not in ENDS], inputs)
    before = number_of(metric, output, "without ablation")
    found |= {end: _end(end, tensor) for end, tensor in ((INPUT, inputs), (OUTPUT, output)) if end in places}
    edits = {place: found[place].edit(neurons, value, position, seed) for place, neurons in places.items()}
    at_input, at_output = (edits.pop(end, _as_it_is) for end in ENDS)
    output = at_output(run_hooked(model, at_input(inputs), edits))
    after = number_of(metric, output, f"with nodes {sorted(nodes)} ablated")
    return Ablation(before, after, after - before)


def _as_it_is(tensor: Any) -> Any:
    return tensor


def _end(end: str, tensor: Any) -> Seen:
    """An end of the model as a hook would see it."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.ndim not in (2, 3):
        raise InputError(f"the model's {end} holds no neurons (numbers [batch, neurons] or [batch, pos, neurons])")
    return Seen(end, tensor.detach(), tensor.shape)


def _checked(wiring: Wiring, node: Any) -> Node:
    try:
        name, neuron = node
        neuron = index(neuron)
    except (TypeError, ValueError) as error:
        raise InputError(f"a node is a stage and a neuron such as ('blocks.0.mlp', 3), found {node!r}") from error
    populations = {stage.name: stage.population for stage in wiring.stages} | {p: p for p in wiring.populations}
    if name not in populations:
        raise unknown("stage or population", str(name), populations)
    size = wiring.populations[populations[name]].size
    if not 0 <= neuron < size:
        raise InputError(f"{name!r} has neurons 0 to {size - 1}, found {neuron}")
    return name, neuron
