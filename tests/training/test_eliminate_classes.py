"""Eliminations of classes: minibatches take the first weights, and the exact rounds follow where few are left."""

import pytest
import torch

from bimt_tf.bimt import BIMT
from bimt_tf.models.mlp import MLP
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination import large
from bimt_tf.training.elimination.large import limits_for
from bimt_tf.training.elimination.large_search import LARGE
from bimt_tf.training.elimination.objective import CrossEntropy, Squares


def network_and_data():
    """Four classes by the signs of two of four numbers; 800 weights, fitted a little."""
    inputs = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    targets = (inputs[:, 0] > 0).long() * 2 + (inputs[:, 1] > 0).long()
    model = MLP([4, 20, 30, 4], "silu", 0)
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        adam.step()
    return BIMT(model), (inputs, targets)


def test_exact_rounds_follow_where_few_weights_are_left():
    bimt, data = network_and_data()
    done = eliminate(bimt, data, "cross_entropy", max_loss=0.05, validation=False)
    stages = [one.standing.stage for one in done.path]
    first = stages.index(next(stage for stage in stages if stage != LARGE))
    assert set(stages[:first]) == {LARGE} and first > 1 and LARGE not in stages[first:]
    assert done.path[first - 1].weights > done.path[-1].weights and done.path[-1].loss <= 0.05


def test_none_follow_where_too_many_are_left(monkeypatch):
    monkeypatch.setattr(large, "MOST_OF_CLASSES", 10)
    bimt, data = network_and_data()
    done = eliminate(bimt, data, "cross_entropy", max_loss=0.05, validation=False)
    assert {one.standing.stage for one in done.path} == {LARGE}
    assert done.ended and done.path[-1].weights < done.path[0].weights and done.path[-1].loss <= 0.05
    assert large.NOT_EXACT in done.notes


@pytest.mark.parametrize("budget", [{"weights": 40}, {"neurons": 12}])
def test_a_number_is_reached_however_many_are_left(monkeypatch, budget):
    monkeypatch.setattr(large, "MOST_OF_CLASSES", 10)
    bimt, data = network_and_data()
    done = eliminate(bimt, data, "cross_entropy", validation=False, **budget)
    last = done.path[-1]
    assert done.ended and large.NOT_EXACT not in done.notes
    assert last.weights <= budget.get("weights", 10**6) and last.hidden_neurons <= budget.get("neurons", 10**6)


@pytest.mark.parametrize(("objective", "near", "counted", "wanted"), [
    (CrossEntropy(), False, False, (large.OF_CLASSES, large.MOST_OF_CLASSES)),
    (CrossEntropy(), False, True, (large.OF_CLASSES, 6000)),
    (CrossEntropy(), True, False, (6000, 6000)),
    (Squares(lambda outputs, targets: outputs - targets), False, False, (6000, 6000)),
])  # fmt: skip
def test_limits_are_lower_for_losses_that_are_no_squares(objective, near, counted, wanted):
    assert limits_for(objective, 6000, near, counted) == wanted
