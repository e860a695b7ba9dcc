"""The page of a run: what is gathered for each of its panels."""

from __future__ import annotations

from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.scene.scene import scene_of
from bimt_tf.viewer.content import PageContent

__all__ = ["page_of"]


def page_of(run: OpenedRun) -> PageContent:
    """Everything that the page of a run shows."""
    config = run.config
    title = f"{config.task} · {config.method} · seed {config.seed}"
    return PageContent(title, run.told(), scene_of(run.bimt, run.threshold).as_dict())
