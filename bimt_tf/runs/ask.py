"""What is asked of a finished run: probe, ablate, prune, export; each on the run's held-out examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import networkx as nx
from torch import Size, Tensor, nn

from bimt_tf.analysis.ablate import NeuronAblation, ablate, ablate_each
from bimt_tf.analysis.activations import run_hooked
from bimt_tf.analysis.graph import Residual, connection_graph
from bimt_tf.analysis.probe import ProbeResult, probe
from bimt_tf.analysis.prune import PrunePoint, prune
from bimt_tf.errors import InputError, unknown
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.tasks.base import Probe
from bimt_tf.training.trainer import Trainer

__all__ = ["FORMATS", "ablate_run", "export_run", "positions_of", "probe_run", "prune_run", "usual_probe"]

FORMATS = ("graphml", "gexf", "json")


def usual_probe(trainer: Trainer) -> Probe:
    """What the task's first look probes first.

    Raises:
        InputError: if it probes nothing.
    """
    probes = trainer.task.probes(trainer.config.data)
    if not probes:
        hooks, latents = ", ".join(trainer.model.hook_dict), ", ".join(trainer.data.test.latents)  # type: ignore[arg-type]
        raise InputError(
            f"{trainer.config.task} has no probe of its own: give --hook ({hooks}) and --target ({latents or 'none'})"
        )
    return probes[0]


def positions_of(trainer: Trainer, hook: str) -> list[int] | list[None]:
    """The tokens that a hook of a run's model has; [None] for one without tokens.

    Raises:
        InputError: for an unknown hook.
    """
    shapes: list[Size] = []
    run_hooked(trainer.model, trainer.held_out.inputs[:1], {hook: lambda activation: shapes.append(activation.shape)})
    return list(range(shapes[0][1])) if len(shapes[0]) > 2 else [None]


def probe_run(trainer: Trainer, wanted: Probe) -> ProbeResult:
    """Probe a trained run.

    Raises:
        InputError: for a target that is not a latent of the task, or what ``probe`` refuses.
    """
    latents = trainer.data.test.latents
    if wanted.target not in latents:
        raise unknown(f"target of {trainer.config.task}", wanted.target, latents)
    return probe(trainer.model, wanted.hook, latents[wanted.target], wanted.position, inputs=trainer.held_out.inputs)


def ablate_run(trainer: Trainer, hook: str, neurons: Sequence[int] = ()) -> list[NeuronAblation]:
    """How the test loss rises when neurons of a hook are set to their mean: each neuron in turn, greatest rise first.

    Given ``neurons``, all of them at once instead, as one entry under the first's number.

    Raises:
        InputError: for what ``ablate`` refuses.
    """
    if neurons:
        together = ablate(trainer.model, {hook: neurons}, trainer.held_out.inputs, _loss(trainer))
        return [NeuronAblation(neurons[0], *together)]
    each = ablate_each(trainer.model, hook, trainer.held_out.inputs, _loss(trainer))
    return sorted(each, key=lambda one: -one.change)


def prune_run(trainer: Trainer) -> list[PrunePoint]:
    """Weights left against test loss over a grid of thresholds (paper, Figure A1); the weights stay as they are."""

    def evaluate(model: nn.Module) -> float:
        return _loss(trainer)(model(trainer.held_out.inputs))

    return prune(trainer.bimt, evaluate)


def export_run(trainer: Trainer, path: Path, form: str, residual: Residual = "shared") -> None:
    """Write the connection graph with its attributes as GraphML, GEXF or NetworkX's node-link JSON.

    Raises:
        InputError: for another format, or a path that cannot be written.
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    graph = connection_graph(trainer.bimt, residual=residual)
    written = BytesIO()
    if form == "json":
        written.write(json.dumps(nx.node_link_data(graph, edges="edges")).encode())
    else:
        {"graphml": nx.write_graphml, "gexf": nx.write_gexf}[form](graph, written)
    try:
        write_atomically(path, written.getvalue())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _loss(trainer: Trainer) -> Callable[[Tensor], float]:
    """The model's outputs on the held-out examples -> the task's reported loss."""

    def loss(outputs: Tensor) -> float:
        return trainer.task.metrics(trainer.config.data, outputs, trainer.held_out.targets)["loss"]

    return loss
