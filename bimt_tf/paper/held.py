"""What the active neurons of a layer of an MLP hold, beside what neurons of an untrained network happen to.

Shared by Figures A2 and A3, as is the figure of such neurons. A correlation by itself says little where there are many
neurons: so the best |r| that any neuron of the same layer of the untrained network has stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.paper.exhibit import Plan
from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from bimt_tf.figures.neuron_quantities import NeuronRow
    from bimt_tf.runs.trained import Trained

__all__ = ["Held", "correlation", "held_by", "hidden_stages", "write_neurons"]


class Held(NamedTuple):
    """One active neuron: its ``activation`` on the held-out examples, and |r| with each quantity.

    ``untrained``: the greatest |r| with each quantity of any neuron of this layer before training.
    """

    stage: str
    neuron: int
    activation: Float[Tensor, " n"]
    r: Mapping[str, float]
    untrained: Mapping[str, float]

    @property
    def best(self) -> str:
        """The quantity with the greatest |r|."""
        return max(self.r, key=lambda name: self.r[name])


def hidden_stages(run: Trained) -> list[str]:
    """The hidden layers of an MLP, shallow to deep."""
    return [stage.name for stage in run.bimt.wiring.stages if stage.name.startswith("hidden")]


def held_by(run: Trained, stage: str, quantities: Mapping[str, Float[Tensor, " n"]]) -> list[Held]:
    """The active neurons of a hidden layer, in order; ``quantities`` by name, one number a held-out example."""
    from bimt_tf.analysis.activations import activations
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.paths import live
    from bimt_tf.runs.ask.probing import untrained_network

    graph = connection_graph(run.bimt, residual="unrolled", threshold=run.threshold)
    neurons = sorted(neuron for name, neuron in live(graph) if name == stage)
    hook = f"layers.{stage.removeprefix('hidden')}.hook_post"
    inputs = run.held_out.inputs
    values = activations(run.model, hook, inputs=inputs).double()
    fresh = untrained_network(run)
    before = values[:, :0] if fresh is None else activations(fresh, hook, inputs=inputs).double()
    chance = {
        name: max((correlation(column, target) for column in before.T), default=0.0)
        for name, target in quantities.items()
    }
    return [
        Held(stage, neuron, values[:, neuron],
             {name: correlation(values[:, neuron], target) for name, target in quantities.items()}, chance)
        for neuron in neurons
    ]  # fmt: skip


def correlation(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> float:
    """|correlation|; 0 where one of them is constant."""
    a, b = first.double() - first.double().mean(), second.double() - second.double().mean()
    size = float(a.norm() * b.norm())
    return abs(float(a @ b)) / size if size > 0 else 0.0


def write_neurons(plan: Plan, each: Row, networks: Sequence[NeuronRow], what: str, docs: Path) -> list[Path]:
    """The figure of one row's networks, in a file of its own where the plan has several rows; none without a neuron."""
    from bimt_tf.figures.neuron_quantities import neuron_quantities_figure

    if not any(one.panels for one in networks):
        return []
    name = plan.exhibit.name if len(plan.rows) == 1 else f"{plan.exhibit.name}-{each.name}"
    return write_figure(docs / name, neuron_quantities_figure(networks, title=f"{each.label}: {what}"))
