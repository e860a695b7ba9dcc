"""Pruning frontiers: thresholds that cut weight by weight, and the least loss with so many weights."""

from __future__ import annotations

import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry
from bimt_tf.analysis.prune import PrunePoint, prune
from bimt_tf.analysis.pruning_frontier import least_losses, weight_sizes
from bimt_tf.errors import InputError


def network(seed=0):
    return BIMT(MLP([3, 4, 2], act_fn="silu", seed=seed), Geometry(width=1.0, layer_gap=0.1))


def test_each_threshold_cuts_one_weight_more():
    bimt = network()
    inputs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    sizes = weight_sizes(bimt)
    assert sizes == sorted(sizes) and len(sizes) == 1 + 3 * 4 + 4 * 2
    cut = [sum(int((p.abs() <= size).sum()) for n, p in bimt.parameters.items() if "weight" in n) for size in sizes]
    assert cut == list(range(21))
    curve = prune(bimt, lambda model: float((model(inputs) ** 2).mean()), sizes)
    assert curve[0].active_weights == 20 and curve[-1].active_weights == 0 and curve[-1].severed


def test_of_many_weights_a_few_thresholds_stand_for_all():
    bimt = network()
    few, every = weight_sizes(bimt, 6), weight_sizes(bimt)
    assert len(few) == 6 and set(few) <= set(every) and few[0] == 0 and few[-1] == every[-1]
    with torch.no_grad():
        for name, parameter in bimt.parameters.items():
            parameter[...] = 0.5 if "weight" in name else 0.0
    assert weight_sizes(bimt) == [0.0, 0.5]


def test_least_losses_take_the_best_point_with_so_few_weights():
    curve = [PrunePoint(0, 9, 0.1, False), PrunePoint(1, 5, 0.3, False), PrunePoint(2, 4, 0.2, False),
             PrunePoint(3, 2, 0.9, False)]  # fmt: skip
    assert least_losses(curve, [1, 2, 3, 4, 5, 8, 9, 20]).tolist() == [0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.1, 0.1]
    worse = [PrunePoint(0, 9, 0.5, False), PrunePoint(1, 3, 0.2, False)]
    assert least_losses(worse, [9]).tolist() == [0.2]  # fewer weights may do better


def test_mistakes_are_named():
    with pytest.raises(InputError, match="at least one point"):
        least_losses([], [1])
    with pytest.raises(InputError, match="thresholds"):
        weight_sizes(network(), 1)
    with pytest.raises(InputError, match="BIMT"):
        weight_sizes("network")
