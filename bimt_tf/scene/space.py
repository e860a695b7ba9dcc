"""The scene of a network in true 3D (paper, Section 3.5): planes of neurons above each other, wires between them.

All three coordinates are lengths of the geometry: in a plane the slots' own, upwards a layer gap from plane to plane. A
wire between two neurons of neighbouring planes is as long as the connection cost says: |dx| + |dy| + |dz| with norm l1,
the straight line with norm l2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError, require_whole
from bimt_tf.scene.scene import ACTIVE, scene_of

__all__ = ["Plane", "Space", "space_of"]

STRONGEST = 500  # wires drawn of a network that has more


class Plane(NamedTuple):
    """The neurons of one layer: ``points`` [n, 3] as lengths, which are ``active``, and its ``height``."""

    stage: str
    height: float
    points: Float[np.ndarray, "n 3"]
    active: Bool[np.ndarray, " n"]


class Space(NamedTuple):
    """Planes from the input up, and wires.

    ``ends`` [wires, 2, 3]; ``positive``: the sign; ``strength``: |w| over the largest |w| of its matrix, in (0, 1];
    ``layer``: the plane that the wire leaves. ``active``: how many active weights there are, drawn or not; ``width``:
    the geometry's A.
    """

    planes: tuple[Plane, ...]
    ends: Float[np.ndarray, "wires 2 3"]
    positive: Bool[np.ndarray, " wires"]
    strength: Float[np.ndarray, " wires"]
    layer: Int[np.ndarray, " wires"]
    active: int
    width: float


def space_of(bimt: BIMT, threshold: float = 0.0, *, strongest: int = STRONGEST) -> Space:
    """The 3D scene of an MLP where its neurons stand now.

    Args:
        bimt: the model and its layout, one population a depth, in one or two dimensions.
        threshold: weights of at most this size are no wires.
        strongest: how many active wires are given at most, those of the greatest strength.

    Raises:
        InputError: for a network of several populations at one depth, or of more than two dimensions.
    """
    require_whole("strongest", strongest)
    scene = scene_of(bimt, threshold, most_wires=bimt.wiring.total_weights)
    depths = [row.depth for row in scene.rows]
    if len(set(depths)) < len(depths):
        raise InputError("a network is drawn in 3D only where each depth has one population, as in an MLP")
    points = []
    for row in scene.rows:
        places = bimt.places[row.population].numpy()
        if places.shape[1] > 2:
            raise InputError(f"planes have two dimensions, found {places.shape[1]} of population {row.population!r}")
        flat = np.full((len(places), 3), bimt.geometry.width / 2)
        flat[:, : places.shape[1]] = places
        flat[:, 2] = row.depth * bimt.geometry.layer_gap
        points.append(flat)
    planes = tuple(
        Plane(row.stage, float(own[0, 2]), own, states == ACTIVE)
        for row, own, states in zip(scene.rows, points, scene.states, strict=True)
    )
    ends, positive, strength, layer = [], [], [], []
    for wires in scene.wires:
        chosen = wires.active
        source, target = points[wires.source][wires.sources[chosen]], points[wires.target][wires.targets[chosen]]
        ends.append(np.stack([source, target], axis=1))
        positive.append(wires.weights[chosen] > 0)
        strength.append(wires.strength[chosen])
        layer.append(np.full(int(chosen.sum()), wires.source))
    sizes = np.concatenate(strength)
    kept = np.sort(np.argsort(-sizes, kind="stable")[:strongest])
    return Space(
        planes, np.concatenate(ends)[kept], np.concatenate(positive)[kept], sizes[kept], np.concatenate(layer)[kept],
        scene.active, float(bimt.geometry.width),
    )  # fmt: skip
