"""The page of a run: what is gathered for each of its panels."""

from __future__ import annotations

from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.activity import activity_part
from bimt_tf.runs.page.attention import attention_part
from bimt_tf.runs.page.causes import causes_part
from bimt_tf.runs.page.evolution import evolution_part
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.page.modules import modules_part
from bimt_tf.runs.page.network import network_part
from bimt_tf.runs.page.probes import probes_part
from bimt_tf.runs.page.run_facts import run_facts_part
from bimt_tf.viewer.content import PageContent

__all__ = ["page_of"]


def page_of(run: OpenedRun) -> PageContent:
    """Everything that the page of a run shows."""
    config = run.config
    return PageContent(
        title=f"{config.task} · {config.method} · seed {config.seed}",
        facts=run.told(),
        scene=network_part(run),
        evolution=evolution_part(run),
        activity=activity_part(run),
        attention=attention_part(run),
        causes=causes_part(run),
        modules=modules_part(run),
        probes=probes_part(run),
        live=live_part(run),
        run=run_facts_part(run),
        damaged=run.readable.damaged,
    )
