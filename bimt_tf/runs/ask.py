"""What is asked of a trained network: probe, ablate, prune, export; each on the run's held-out examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import networkx as nx
from torch import Size, nn

from bimt_tf.analysis.ablate import NeuronAblation, ablate, ablate_each
from bimt_tf.analysis.activations import run_hooked
from bimt_tf.analysis.graph import Residual, connection_graph
from bimt_tf.analysis.probe import ProbeResult, probe
from bimt_tf.analysis.prune import PrunePoint, prune
from bimt_tf.errors import InputError, unknown
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Probe

__all__ = ["FORMATS", "ablated", "export", "position_of", "positions_of", "probed", "pruned", "usual_probe"]

MOST_LISTED = 12  # tokens, of a message
FORMATS = ("graphml", "gexf", "json")


def usual_probe(trained: Trained) -> Probe:
    """What the task probes first.

    Raises:
        InputError: if it probes nothing.
    """
    probes = trained.task.probes(trained.config.data)
    if not probes:
        hooks, targets = ", ".join(trained.model.hook_dict), ", ".join(trained.held_out.quantities)  # type: ignore[arg-type]
        raise InputError(
            f"{trained.config.task} has no probe of its own: give --hook ({hooks}) and --target ({targets or 'none'})"
        )
    return probes[0]


def positions_of(trained: Trained, hook: str) -> list[int] | list[None]:
    """The tokens that a hook of the model has; [None] for one without tokens.

    Raises:
        InputError: for an unknown hook, or one that this model does not reach.
    """
    shapes: list[Size] = []
    inputs = trained.held_out.inputs[:1]
    run_hooked(trained.model, inputs, {hook: lambda activation: shapes.append(activation.shape)})
    return list(range(shapes[0][1])) if len(shapes[0]) > 2 else [None]


def position_of(trained: Trained, hook: str) -> int | None:
    """The token that is probed at a hook where none is given: that of the task's own first probe, if it looks there.

    Raises:
        InputError: for an unknown hook, or another one that has tokens.
    """
    usual = trained.task.probes(trained.config.data)[:1]
    if usual and usual[0].hook == hook:
        return usual[0].position
    tokens = positions_of(trained, hook)
    if tokens == [None]:
        return None
    listed = ", ".join(map(str, tokens)) if len(tokens) <= MOST_LISTED else f"0 to {tokens[-1]}"
    raise InputError(f"{hook} has tokens: give position, one of {listed}, or ask probe_tokens for every one")


def probed(trained: Trained, wanted: Probe) -> ProbeResult:
    """What one hook at one position tells about a quantity of the task.

    Raises:
        InputError: for a target that is no quantity of the task, examples without any, or what ``probe`` refuses.
    """
    test = trained.held_out
    if not test.quantities:
        raise InputError(
            f"the examples of {trained.config.task} have no named quantities: "
            "bimt_tf.probe(run.model, hook, values, inputs=...) takes values of your own"
        )
    if wanted.target not in test.quantities:
        raise unknown(f"target of {trained.config.task}", wanted.target, test.quantities)
    return probe(trained.model, wanted.hook, test.quantities[wanted.target], wanted.position, inputs=test.inputs)


def ablated(trained: Trained, hook: str, neurons: Sequence[int] = ()) -> list[NeuronAblation]:
    """How the test loss rises when neurons of a hook are set to their mean: each neuron in turn, greatest rise first.

    Given ``neurons``, all of them at once instead, as one entry under the first's number.

    Raises:
        InputError: for what ``ablate`` refuses.
    """
    inputs = trained.held_out.inputs
    if neurons:
        together = ablate(trained.model, {hook: neurons}, inputs, trained.loss)
        return [NeuronAblation(neurons[0], *together)]
    return sorted(ablate_each(trained.model, hook, inputs, trained.loss), key=lambda one: -one.change)


def pruned(trained: Trained) -> list[PrunePoint]:
    """Weights left against test loss over a grid of thresholds (paper, Figure A1); the weights stay as they are."""

    def evaluate(model: nn.Module) -> float:
        return trained.loss(model(trained.held_out.inputs))

    return prune(trained.bimt, evaluate)


def export(trained: Trained, path: Path, form: str, residual: Residual = "shared") -> None:
    """Write the connection graph with its attributes as GraphML, GEXF or NetworkX's node-link JSON.

    Raises:
        InputError: for another format, or a path that cannot be written.
    """
    if form not in FORMATS:
        raise unknown("format", str(form), FORMATS)
    graph = connection_graph(trained.bimt, residual=residual)
    written = BytesIO()
    if form == "json":
        written.write(json.dumps(nx.node_link_data(graph, edges="edges")).encode())
    else:
        {"graphml": nx.write_graphml, "gexf": nx.write_gexf}[form](graph, written)
    write_atomically(path, written.getvalue())
