"""What a network that multiplies in a group has in its embedding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float

from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.group_mirror import Mirror, mirror
from bimt_tf.analysis.group_report import GroupReport, group_report
from bimt_tf.analysis.group_representations import irreps
from bimt_tf.analysis.group_table import FiniteGroup, finite_group
from bimt_tf.analysis.group_values import DRAWS
from bimt_tf.analysis.modularity import communities
from bimt_tf.analysis.paths import live
from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.figure_files import image_of
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.groups import GroupTask
from bimt_tf.tasks.transformers import GroupTransformer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GroupEmbedding", "embedding_of", "group_of", "grouped", "mirrored", "tokens_of", "write_figures"]

HOOK = "hook_embed"


class GroupEmbedding(NamedTuple):
    """The active neurons of the embedding, their values [n, neurons], and the modules that they are in."""

    neurons: list[int]
    values: Float[np.ndarray, "n neurons"]
    modules: list[list[int]]


def group_of(trained: Trained) -> FiniteGroup:
    """The group of a run's task.

    Raises:
        InputError: for a task that is no group's, or whose table is none.
    """
    task = trained.task.group if isinstance(trained.task, GroupTransformer) else trained.task
    if not isinstance(task, GroupTask):
        raise InputError(
            f"{trained.config.task} is no group's task (a GroupTask, as modular-addition and s4 are): "
            "bimt_tf.group_report(table, embedding) takes a table and an embedding of your own"
        )
    options = trained.config.data
    return finite_group(task.table(options), task.elements(options), task.action(options))


def embedding_of(trained: Trained, group: FiniteGroup) -> GroupEmbedding:
    """The embedding of every element, of the neurons that are on a path and vary over the elements.

    Raises:
        InputError: for a model without ``hook_embed``, or an embedding without such neurons.
    """
    rows = trained.data.test.inputs[:1].repeat(len(group), 1)
    rows[:, 0] = torch.arange(len(group), device=rows.device)
    table = activations(trained.model, HOOK, 0, inputs=rows).detach().cpu().double().numpy()
    graph = connection_graph(trained.bimt, "unrolled", trained.threshold)
    first = min(data["depth"] for _, data in graph.nodes(data=True))
    stages = {data["stage"]: data["population"] for _, data in graph.nodes(data=True) if data["depth"] == first}
    on_paths = {(stages[stage], neuron) for stage, neuron in live(graph) if stage in stages}
    neurons = sorted(neuron for _, neuron in on_paths if np.ptp(table[:, neuron]) > trained.threshold)
    if not neurons:
        raise InputError("no neuron of the embedding is on a path and differs between elements: nothing is held there")
    population = next(iter(stages.values()))
    parts = communities(connection_graph(trained.bimt, "shared", trained.threshold))
    shared = cast("list[frozenset[tuple[str, int]]]", parts)
    of_parts = [{neuron for name, neuron in part if name == population} for part in shared]
    modules = [sorted(part & set(neurons)) for part in of_parts]
    return GroupEmbedding(neurons, table[:, neurons], [one for one in modules if one])


def tokens_of(trained: Trained, neurons: list[int]) -> dict[int, list[int]]:
    """The tokens, from 0, whose copy of each embedding neuron an active weight reads; {} where copies are not apart.

    A TokenMLP reads two tokens side by side: a neuron may serve the left factor alone, or the right one.
    """
    depth = min(stage.depth for stage in trained.bimt.wiring.stages)
    found: dict[int, set[int]] = {}
    for connection in trained.bimt.wiring.connections:
        if connection.source.depth != depth:
            continue
        weights = connection.flatten(trained.bimt.parameters[connection.parameter].detach())
        if len(weights) < 2:
            return {}
        reads = (weights.abs() > trained.threshold).any(2)
        for neuron in neurons:
            found.setdefault(neuron, set()).update(torch.nonzero(reads[:, neuron]).flatten().tolist())
    return {neuron: sorted(tokens) for neuron, tokens in found.items()}


def grouped(trained: Trained, draws: int = DRAWS, seed: int = 0) -> GroupReport:
    """All that the embedding holds of the task's group.

    Raises:
        InputError: for another task, a model without an embedding, or an embedding that holds nothing.
    """
    group = group_of(trained)
    held = embedding_of(trained, group)
    return group_report(group, held.values, held.neurons, held.modules, draws=draws, seed=seed)


def mirrored(trained: Trained, found: GroupReport) -> list[Mirror]:
    """Whether each neuron that is a sign is used as one, on the held-out examples.

    A neuron is one if a representation of one dimension has 95% of its variance; the other active neurons of the
    embedding are the control.
    """

    def predict(outputs: torch.Tensor) -> torch.Tensor:
        return trained.task.reported(trained.config.data, outputs, held_out.targets)[1]

    held_out, parts = trained.held_out, {one.name: one for one in irreps(found.group)}
    means = dict(zip(found.neurons, np.asarray(found.embedding).mean(0).tolist(), strict=True))
    tested = []
    for one in found.pure:
        if parts[one.best].dim == 1:
            neurons = [one.neuron, *(other for other in found.neurons if other != one.neuron)]
            signs = parts[one.best].matrices[:, 0, 0]
            tested.append(
                mirror(trained.model, HOOK, neurons, [means[neuron] for neuron in neurons], held_out.inputs,
                       held_out.targets, signs, predict, irrep=one.best)
            )  # fmt: skip
    return tested


def write_figures(run: OpenedRun, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures as DIR/figures/group-NAME.png and .pdf; returns the files.

    Raises:
        InputError: where that cannot be written.
    """
    folder, written = run.path / "figures", []
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from error
    for name, figure in figures.items():
        for form in ("png", "pdf"):
            path = folder / f"group-{name}.{form}"
            write_atomically(path, image_of(figure, form))
            written.append(path)
    return written
