"""Between two scenes of one network: where its neurons stand on the way, and how strong its wires are.

Neurons move along straight lines, weights change linearly (one that is no wire counts as 0), and what is discrete, a
neuron's state or a number in the title, is that of the nearer scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bimt_tf.scene.rows import SHEAR
from bimt_tf.scene.scene import Biases, Scene
from bimt_tf.scene.wires import Wires

__all__ = ["Frame", "TweenWires", "eased", "pace", "places_between", "sizes_between", "wires_between"]

LEAST_SHARE = 0.3  # of the mean time, for a change that is hardly one
MOST_SHARE = 3.0  # of the mean change, beyond which more gets no more time


class Frame(NamedTuple):
    """The scene of a network after ``step`` steps, the ``phase`` that ended there, and the held-out ``loss``."""

    scene: Scene
    step: int
    phase: str
    loss: float


class TweenWires(NamedTuple):
    """Wires on the way, by wire: ``weights``, ``strength``, ``active`` (1: on a path), and how ``many``."""

    sources: Int[np.ndarray, " n"]
    targets: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    strength: Float[np.ndarray, " n"]
    active: Float[np.ndarray, " n"]
    many: float


def eased(share: float) -> float:
    """0 to 1, slow at both ends (3 s^2 - 2 s^3)."""
    return share * share * (3 - 2 * share)


def pace(frames: Sequence[Frame], pictures: int) -> list[tuple[int, float]]:
    """(frame that one comes from, eased share of the way to the next) of each picture; more time for larger changes."""
    if len(frames) < 2:
        return [(0, 0.0)] * pictures
    changes = np.array([_change(a.scene, b.scene) for a, b in zip(frames[:-1], frames[1:], strict=True)])
    times = LEAST_SHARE + np.minimum(changes / (changes.mean() or 1.0), MOST_SHARE)
    ends = np.concatenate([[0.0], np.cumsum(times) / times.sum()])
    found = []
    for at in np.linspace(0, 1, pictures):
        i = min(int(np.searchsorted(ends, at, side="right")) - 1, len(times) - 1)
        found.append((i, eased(float((at - ends[i]) / (ends[i + 1] - ends[i])))))
    return found


def places_between(a: Scene, b: Scene, share: float) -> list[Float[np.ndarray, "n 2"]]:
    """Where the neurons of each row stand, in the coordinates of a panel (network_page.py)."""
    places = []
    for one, other in zip(a.rows, b.rows, strict=True):
        x, lift = ((1 - share) * u + share * v for u, v in ((one.x, other.x), (one.lift, other.lift)))
        places.append(np.stack([x + SHEAR * lift, other.y + lift], axis=1))
    return places


def wires_between(a: Scene, b: Scene, share: float, most: int) -> list[TweenWires]:
    """The wires of each matrix: those among the ``most`` strongest of either scene."""
    least = [_least(scene, most) for scene in (a, b)]
    found = []
    for one, other in zip(a.wires, b.wires, strict=True):
        width = b.rows[other.target].size
        keys = np.union1d(_keys(one, width, least[0]), _keys(other, width, least[1]))
        (w, s, on), (v, t, off) = (_values(wires, width, keys) for wires in (one, other))
        mixed = [(1 - share) * u + share * z for u, z in ((w, v), (s, t), (on, off))]
        many = (1 - share) * len(one.weights) + share * len(other.weights)
        found.append(TweenWires(keys // width, keys % width, mixed[0], mixed[1], mixed[2], many))
    return found


def sizes_between(
    a: Sequence[Biases], b: Sequence[Biases], share: float, rows: Sequence[int]
) -> dict[tuple[str, int], Float[np.ndarray, " n"]]:
    """(parameter, row) -> biases over the largest of their parameter, by neuron; ``rows``: how large each is."""
    found: dict[tuple[str, int], Float[np.ndarray, " n"]] = {}
    for biases, weight in ((a, 1 - share), (b, share)):
        for one in biases:
            own = found.setdefault((one.parameter, one.row), np.zeros(rows[one.row]))
            own[one.neurons] += weight * one.values / one.largest
    return found


def _change(a: Scene, b: Scene) -> float:
    """How much of what is seen changes: the share of all strength that does, and how far active neurons move."""
    whole = wires_between(a, b, 0.0, 10**9), wires_between(a, b, 1.0, 10**9)
    ends = [np.concatenate([one.strength for one in wires]) for wires in whole]
    turned = float(np.abs(ends[0] - ends[1]).sum() / max(ends[0].sum() + ends[1].sum(), 1e-12))
    moves = [
        np.abs(one.x - other.x)[states > 2]
        for one, other, states in zip(a.rows, b.rows, b.states, strict=True)
    ]  # fmt: skip
    moved = np.concatenate(moves)
    return turned + (float(moved.mean()) if len(moved) else 0.0)


def _least(scene: Scene, most: int) -> float:
    strengths = np.concatenate([np.zeros(0), *(wires.strength for wires in scene.wires)])
    return float(np.partition(strengths, -most)[-most]) if len(strengths) > most else 0.0


def _keys(wires: Wires, width: int, least: float) -> Int[np.ndarray, " n"]:
    strong = wires.strength >= least
    return np.asarray(wires.sources[strong] * width + wires.targets[strong])


def _values(wires: Wires, width: int, keys: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], ...]:
    """(weight, strength, whether active) of the wires with these keys; 0 where there is none, active as a rule."""
    own = wires.sources * width + wires.targets
    order = np.argsort(own)
    at = np.searchsorted(own, keys, sorter=order)
    there = np.zeros(len(keys), dtype=bool)
    inside = at < len(own)
    places = order[at[inside]]
    there[inside] = own[places] == keys[inside]
    places = places[there[inside]]
    found = [np.zeros(len(keys)), np.zeros(len(keys)), np.ones(len(keys))]
    for values, given in zip(found, (wires.weights, wires.strength, wires.active), strict=True):
        values[there] = given[places]
    return tuple(found)
