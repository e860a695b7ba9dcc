"""For the page: the network at earlier steps, as its time slider shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from bimt_tf.runs.evolution import thinned
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.scene.scene import Scene
from bimt_tf.scene.wires import Wires

__all__ = ["evolution_part"]

MOST_PLACES = 90_000  # coordinates of neurons in all frames together: about 600 kB
MOST_WIRES = 48_000  # wires in all frames together: about 800 kB
DIGITS = 4
EVERY = 10**9  # wires one by one, however many


def evolution_part(run: OpenedRun) -> dict[str, Any] | None:
    """The run's snapshots as frames, or None where there are fewer than two; damaged ones are left out.

    ``frames``: step, phase, loss (held out), active (how many weights), ``x`` and (of rows with a second coordinate)
    ``lift``: row -> those of each of its neurons, and ``wires``: for each of the scene's matrices in their order
    [sources, targets, weights]. ``note``: a sentence where wires or frames are left out, else "".
    """
    found = run.readable.snapshots
    if len(found) < 2:
        return None
    places = sum(row.size * (2 if row.half else 1) for row in found[-1].scene(most_wires=0).rows)
    chosen = thinned(found, max(2, MOST_PLACES // places))
    most = MOST_WIRES // len(chosen)
    frames, left_out = [], 0
    for one in chosen:
        scene = one.scene(most_wires=EVERY)
        least = _least(scene, most)
        left_out += sum(int((wires.strength < least).sum()) for wires in scene.wires)
        frames.append(
            {
                "step": one.step,
                "phase": one.phase,
                "loss": one.loss,
                "active": scene.active,
                "x": {row.name: _rounded(row.x) for row in scene.rows},
                "lift": {row.name: _rounded(row.lift) for row in scene.rows if row.half},
                "wires": [_kept(wires, least) for wires in scene.wires],
            }
        )
    notes = [f"Frames of more than {most:,} weights show the strongest of their matrices."] if left_out else []
    if len(chosen) < len(found):
        notes.append(f"{len(chosen)} of {len(found)} snapshots.")
    return {"frames": frames, "note": " ".join(notes)}


def _least(scene: Scene, most: int) -> float:
    """The strength from which on wires are kept: those of the ``most`` strongest."""
    strengths = np.concatenate([np.zeros(0), *(wires.strength for wires in scene.wires)])
    return float(np.partition(strengths, -most)[-most]) if len(strengths) > most else 0.0


def _kept(wires: Wires, least: float) -> list[list[Any]]:
    strong = wires.strength >= least
    return [wires.sources[strong].tolist(), wires.targets[strong].tolist(), _rounded(wires.weights[strong])]


def _rounded(values: Float[np.ndarray, " n"]) -> list[float]:
    """Four digits that count, so that a small weight is none of zero."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
