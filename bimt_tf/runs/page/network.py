"""For the page: the network, as it stands now and as it stood at the start.

To what the scene holds this adds what only the run knows: the names of inputs and outputs, the hook that shows a row's
neurons, where the neurons stood at the start, and where in its parameter each weight is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from bimt_tf.bimt import BIMT
from bimt_tf.core.layout import Layout
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.neuron_values import hooks_of_rows
from bimt_tf.scene.rows import places_of
from bimt_tf.scene.scene import Scene, scene_of

__all__ = ["network_part", "page_scene"]

DIGITS = 5  # of a place, in plot widths: a hundredth of a pixel
FIGURES = 6  # of a bias


def network_part(run: OpenedRun) -> dict[str, Any]:
    """The scene of the run's network; see :func:`page_scene`."""
    return page_scene(run.bimt, run.threshold, run.task.labels(run.config.data))


def page_scene(bimt: BIMT, threshold: float = 0.0, labels: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    """A model's scene as the page's network panel reads it.

    ``Scene.as_dict`` and, beside it,

    - of each row: ``title`` (its short name), ``labels`` (a name for each neuron, or None), ``hook`` (whose activations
      its neurons are, or None), ``token`` (whose row it is where there is one a token, or None) and ``start``,
      ``start_lift``: each neuron's place when it occupied the slot of its own number. There every run starts that is
      not continued from another's; ``lift`` is [] where there is none, places have 5 digits;
    - of each matrix: ``shape`` of its parameter and ``entries``, the place of each weight in the flattened parameter;
    - of each bias, 6 figures.

    Args:
        bimt: the model and its layout.
        threshold: weights of at most this size are no wires.
        labels: stage or population -> a name for each of its neurons.

    Raises:
        InputError: where :func:`bimt_tf.scene.scene.scene_of` raises it.
    """
    scene = scene_of(bimt, threshold)
    start = places_of(BIMT(bimt.model, bimt.geometry, bimt.wiring, bimt.reduction, Layout.identity(bimt.wiring)))
    hooks, names = hooks_of_rows(bimt.model, bimt, scene.rows), labels or {}
    told = scene.as_dict()
    for row, own in zip(scene.rows, told["rows"], strict=True):
        own["labels"] = names.get(row.stage, names.get(row.population))
        own["title"], own["token"], own["hook"] = row.title, row.token, hooks.get(row.name)
        own["x"], own["start"] = (np.round(x, DIGITS).tolist() for x in (row.x, start.x[row.population]))
        lifts = (row.lift, start.lift[row.population])
        own["lift"], own["start_lift"] = (np.round(lift, DIGITS).tolist() if row.half else [] for lift in lifts)
    for own, (shape, entries) in zip(told["wires"], _entries(bimt, scene), strict=True):
        own["shape"], own["entries"] = list(shape), entries.tolist()
    for biases in told["biases"]:
        biases["values"] = [float(f"{value:.{FIGURES}g}") for value in biases["values"]]
    return told


def _entries(bimt: BIMT, scene: Scene) -> Iterator[tuple[tuple[int, ...], Int[np.ndarray, " n"]]]:
    """By matrix of the scene, its parameter's shape and the place of each of its wires in the flattened parameter."""
    connections = {connection.parameter: connection for connection in bimt.wiring.connections}
    copies: dict[str, int] = {}
    for wires in scene.wires:  # the copies of a folded parameter stand one after another
        connection = connections[wires.parameter]
        copy = copies[wires.parameter] = copies.get(wires.parameter, -1) + 1
        numbers = torch.arange(connection.numel, dtype=torch.int32).reshape(connection.shape)
        flat = connection.flatten(numbers)[copy].numpy()
        yield connection.shape, flat[wires.sources, wires.targets]
