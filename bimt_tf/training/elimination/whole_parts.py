"""Rounds of whole heads and whole modules: one goes, and the network is refitted without it.

A head is taken out with all weights into and out of its queries, keys and values. A module, a community of neurons of
the connection graph (analysis/modules.py), is taken out by giving what reads it the mean of what it gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.modules import find_modules
from bimt_tf.analysis.paths import live
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Node
from bimt_tf.training.elimination.folding import Dependence, fold_, hidden_stages, neurons_of
from bimt_tf.training.elimination.levenberg_marquardt import steps_for
from bimt_tf.training.elimination.live_network import LiveNetwork
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.single_weights import TOLERANCE, goal_for

__all__ = ["remove_head", "remove_module", "without_head", "without_module"]


@torch.no_grad()
def remove_head(search: Search) -> bool:
    """Take out the head that matters least; whether one could go."""
    return _remove(search, "head", _without_each_head(search.bimt))


@torch.no_grad()
def remove_module(search: Search) -> bool:
    """Take out the module that matters least, where there are several; whether one could go."""
    stages = hidden_stages(search.bimt)
    names = {stage.name for stage in stages}
    graph = connection_graph(search.bimt, residual="unrolled")
    inner = graph.subgraph(sorted(node for node in live(graph) if node[0] in names))
    modules = find_modules(inner).modules
    if len(modules) < 2:
        return False
    means = {stage.name: neurons_of(search, stage).mean(0) for stage in stages}
    return _remove(search, "module", (without_module(search.bimt, one.nodes, means) for one in modules))


def without_head(bimt: BIMT, axis: str, head: int) -> dict[str, Tensor]:
    """Parameter -> its values without the weights into and out of one head's neurons."""
    sizes = {p.name: p.head_size for p in bimt.wiring.populations.values() if p.head_axis == axis}
    changed: dict[str, Tensor] = {}
    for one in bimt.wiring.wired:
        for at, stage in enumerate(one.stages):
            if stage.population in sizes:
                whole = changed.get(one.parameter, bimt.parameters[one.parameter].detach())
                flat = one.flatten(whole).clone()
                first = head * sizes[stage.population]
                flat.narrow(1 + at, first, sizes[stage.population]).zero_()
                changed[one.parameter] = one.unflatten(flat).contiguous()
    return changed


def without_module(bimt: BIMT, nodes: tuple[Node, ...], means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameter -> its values without what leads away from some neurons (stage, neuron), which are their means."""
    changed: dict[str, Tensor] = {}
    stages = {stage.name: stage for stage in bimt.wiring.stages}
    for name, neuron in nodes:
        constant = Dependence(neuron, (), (), float(means[name][neuron]), math.nan)
        if not fold_(bimt, changed, stages[name], constant):
            fold_(bimt, changed, stages[name], constant._replace(constant=0.0))
    return changed


def _without_each_head(bimt: BIMT) -> Iterator[dict[str, Tensor]]:
    heads = {p.head_axis: p.heads for p in bimt.wiring.populations.values() if p.head_axis is not None}
    for axis, number in heads.items():
        for head in range(number):
            yield without_head(bimt, axis, head)


def _remove(search: Search, what: Literal["head", "module"], without: Iterator[dict[str, Tensor]]) -> bool:
    """Refit without one of some parts, those first whose loss is least before it; whether one could go."""
    trials = []
    for changed in without:
        if not search.may_change(changed):
            continue
        trial = search.trial(changed)
        if search.fewer(trial):
            trials.append((trial.loss(trial.start), trial))
    trials = sorted((one for one in trials if not search.hopeless(one[0])), key=lambda one: one[0])
    return any(_kept(search, what, trial) for _, trial in trials if not search.stop())


@torch.enable_grad()
def _kept(search: Search, what: Literal["head", "module"], trial: LiveNetwork) -> bool:
    n = len(trial.start)
    return search.attempt_trial(
        what, trial, steps=steps_for(n), tolerance=TOLERANCE, goal=goal_for(n, search), most=search.fair
    )
