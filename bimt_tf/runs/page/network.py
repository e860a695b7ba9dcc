"""For the page: the network, as it stands now and as it stood at the start."""

from __future__ import annotations

from typing import Any

from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.scene.scene import scene_of

__all__ = ["network_part"]


def network_part(run: OpenedRun) -> dict[str, Any]:
    """The scene of the run's network."""
    return scene_of(run.bimt, run.threshold).as_dict()
