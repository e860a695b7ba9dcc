"""Snapshots of a network while it is trained: at which steps, and what one holds (runs/snapshots.py makes files of them).

Most of what is to be seen happens early and at the ends of phases, so steps are spaced evenly on a logarithmic scale
from a thousandth of the run on; a sixteenth of the run is the longest time without one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from bimt_tf.config.settings import Config
from bimt_tf.training.phases import PHASES

__all__ = ["MOST_PARAMETERS", "TrainingSnapshot", "snapshot_steps"]

MOST_PARAMETERS = 1_000_000
"""A model of more trained numbers has no snapshots."""

LOGARITHMIC, EVEN = 18, 16  # how many steps of either spacing
EARLIEST = 1e-3  # share of the run where the logarithmic ones begin


class TrainingSnapshot(NamedTuple):
    """The network after ``step`` steps: its held-out ``loss``, its parameters by name, and each neuron's slot.

    ``weights``: copies on the CPU; ``slots``: population -> int64 [neurons].
    """

    step: int
    loss: float
    weights: dict[str, Tensor]
    slots: dict[str, Tensor]


def snapshot_steps(config: Config) -> frozenset[int]:
    """The steps after which a run's network is kept: 0, the last, and at most 36 between them."""
    steps = config.training.steps
    spaced = np.geomspace(max(1.0, EARLIEST * steps), steps, LOGARITHMIC)
    even = np.linspace(0, steps, EVEN + 1)
    ends = {span.stop for span in (phase.span(config) for phase in PHASES) if span}
    return frozenset({*(int(step) for step in np.concatenate([spaced, even]).round()), *ends})
