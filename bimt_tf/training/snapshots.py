"""Snapshots of a network while it is trained: at which steps, and what one holds. They are files in runs/snapshots.py.

Most of what is to be seen happens early and at the ends of phases, so steps are spaced evenly on a logarithmic scale
from a thousandth of the run on, with about sixteen evenly spaced ones beside them.
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

LOGARITHMIC, EVEN = 14, 16  # how many steps of either spacing
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
    """The steps after which a run's network is kept: 0, the last, the ends of phases, and about 30 others.

    Where steps are logged often enough, those are taken that are logged, as their held-out loss is known then.
    """
    steps, every = config.training.steps, config.training.log_every
    spaced = np.geomspace(max(1.0, EARLIEST * steps), steps, LOGARITHMIC)
    wanted = np.concatenate([spaced, np.linspace(0, steps, EVEN + 1)])
    if every * EVEN <= steps:
        wanted = np.where(wanted < every, wanted, every * (wanted / every).round()).clip(max=steps)
    ends = {span.stop for span in (phase.span(config) for phase in PHASES) if span}
    return frozenset({0, steps, *(int(step) for step in wanted.round()), *ends})
