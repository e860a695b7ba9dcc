"""What modules do: the targets without a module, and with it alone (paper, Section 3.2 and Figure 5).

**Knocked out**: a module's neurons are written over, all others compute on. **Kept alone**: all neurons of the graph
but the module's are written over. What is written is each neuron's mean over the examples, token by token, or 0. Inputs
and outputs are left as they are: they belong to modules by their weights, and without them nothing could be measured.

A knock-out stands beside those of random sets of as many neurons, drawn from all that could be knocked out, and both
beside the whole network and the one without any neuron.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import networkx as nx
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.ablate_nodes import ablate_nodes
from bimt_tf.analysis.modules import Modules
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.progress import Progress
from bimt_tf.core.population import Node
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_seed, require_whole

__all__ = [
    "ENDS", "Combination", "ModuleEffect", "ModuleEffects", "Targets", "inner_nodes", "knock_out",
    "module_combinations", "module_effects", "outputs_without",
]  # fmt: skip

Targets = Mapping[str, Callable[[Any], float]]
"""Name -> a number of the model's outputs, such as a loss, an accuracy, or the loss of one output."""

Value = Literal["mean", "zero"]

ENDS = ("input", "output")
"""Populations that are never knocked out."""
MOST_COMBINED = 5
"""Modules of which every combination is knocked out; of more, each one, each two and all but one."""


class ModuleEffect(NamedTuple):
    """Each target without a module, with it alone, and without random sets of as many neurons (lowest, highest).

    ``neurons``: how many of the module's neurons are written over, its inputs and outputs not among them; with none,
    nothing is knocked out.
    """

    number: int
    neurons: int
    without: dict[str, float]
    alone: dict[str, float]
    random: dict[str, tuple[float, float]]


class ModuleEffects(NamedTuple):
    """Modules against targets. ``whole``: the network as it is; ``nothing``: all neurons written over."""

    whole: dict[str, float]
    nothing: dict[str, float]
    modules: tuple[ModuleEffect, ...]
    value: Value
    examples: int
    controls: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line: the first target without each module."""
        name = next(iter(self.whole))
        each = ", ".join(f"{one.number}: {one.without[name]:.3g}" for one in self.modules)
        return f"ModuleEffects({name} {self.whole[name]:.3g}; without module {each})"


class Combination(NamedTuple):
    """Modules that are knocked out together, and each target without them."""

    out: tuple[int, ...]
    without: dict[str, float]


def module_effects(
    model: nn.Module,
    wiring: Wiring,
    graph: nx.Graph,
    found: Modules,
    inputs: Shaped[Tensor, "batch ..."],
    targets: Targets,
    *,
    value: Value = "mean",
    controls: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModuleEffects:
    """Every module against every target: without it, and with it alone.

    Args:
        model: the model that the graph is of, with hooks.
        wiring: its wiring.
        graph: the connection graph in which the modules were found.
        found: what :func:`bimt_tf.analysis.modules.find_modules` found in it.
        inputs: what the model takes, the batch first; held out.
        targets: name -> a number of the model's outputs.
        value: what is written: "mean" over the examples, token by token, or "zero".
        controls: random sets of neurons that are knocked out beside each module.
        seed: of the random sets.
        progress: told (done, of) behind every module.

    Raises:
        InputError: for no targets, a graph without neurons to knock out, a stage that no hook shows, or a target that
            is not a finite number.
    """
    require_whole("controls", controls)
    require_seed(seed)
    every = inner_nodes(graph)
    if not targets or not every:
        raise InputError(f"effects need a target and a neuron between input and output, found {len(targets)} targets")
    both = outputs_without(model, wiring, every, inputs, value)
    whole, nothing = ({name: float(target(output)) for name, target in targets.items()} for output in both)

    def without(nodes: Collection[Node]) -> dict[str, float]:
        return knock_out(model, wiring, nodes, inputs, targets, value=value) if nodes else whole

    generator, effects = random.Random(seed), []
    for module in found.modules:
        inner = [node for node in every if node in module.nodes]
        drawn = [without(generator.sample(every, len(inner))) for _ in range(controls)]
        spread = {name: (min(one[name] for one in drawn), max(one[name] for one in drawn)) for name in targets}
        alone = without([node for node in every if node not in module.nodes])
        effects.append(ModuleEffect(module.number, len(inner), without(inner), alone, spread))
        if progress is not None:
            progress(len(effects), len(found.modules))
    return ModuleEffects(whole, nothing, tuple(effects), value, len(inputs), controls, seed)


def module_combinations(
    model: nn.Module,
    wiring: Wiring,
    graph: nx.Graph,
    found: Modules,
    inputs: Shaped[Tensor, "batch ..."],
    targets: Targets,
    *,
    value: Value = "mean",
) -> tuple[Combination, ...]:
    """Targets without each combination of modules, few first (paper, Figure 5); the empty one is the whole network.

    All combinations of up to :data:`MOST_COMBINED` modules; of more, each one, each two, and all but one.

    Args:
        model, wiring, graph, found, inputs, targets, value: as :func:`module_effects`.

    Raises:
        InputError: as :func:`module_effects`.
    """
    every = inner_nodes(graph)
    numbers = [module.number for module in found.modules if set(every) & set(module.nodes)]
    results = []
    for out in _combined(numbers):
        chosen = {node for number in out for node in found.module(number).nodes}
        nodes = [node for node in every if node in chosen]
        if nodes:
            results.append(Combination(out, knock_out(model, wiring, nodes, inputs, targets, value=value)))
        elif every:
            output, _ = outputs_without(model, wiring, every, inputs, value)
            results.append(Combination(out, {name: float(target(output)) for name, target in targets.items()}))
    return tuple(results)


def knock_out(
    model: nn.Module,
    wiring: Wiring,
    nodes: Collection[Node],
    inputs: Shaped[Tensor, "batch ..."],
    targets: Targets,
    *,
    value: Value = "mean",
) -> dict[str, float]:
    """Each target without a set of neurons.

    Raises:
        InputError: for no neurons, or a stage that no hook shows.
    """
    _, output = outputs_without(model, wiring, nodes, inputs, value)
    return {name: float(target(output)) for name, target in targets.items()}


def outputs_without(
    model: nn.Module, wiring: Wiring, nodes: Collection[Node], inputs: Shaped[Tensor, "batch ..."], value: Value
) -> tuple[Any, Any]:
    """The model's outputs as it is, and without a set of neurons."""
    kept: list[Any] = []

    def keep(output: Any) -> float:
        kept.append(output)
        return 0.0

    ablate_nodes(model, wiring, nodes, inputs, keep, value=value)
    return kept[0], kept[1]


def inner_nodes(graph: nx.Graph) -> list[Node]:
    """The neurons with weights that are neither inputs nor outputs, in the graph's order."""
    return [node for node, data in graph.nodes(data=True) if graph.degree[node] and data["population"] not in ENDS]


def _combined(numbers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    n = len(numbers)
    sizes = range(n + 1) if n <= MOST_COMBINED else (0, 1, 2, n - 1)
    for size in sizes:
        yield from combinations(numbers, size)
