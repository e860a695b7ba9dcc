"""Quick rounds on few examples, while many weights live."""

import torch

from bimt_tf.bimt import BIMT
from bimt_tf.models.mlp import MLP
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.early_rounds import FEW_ENOUGH, Few, _without, early_rounds
from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.objective import Squares
from bimt_tf.training.elimination.search import Search

F64 = torch.float64


def data(n=800):
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(0), dtype=F64) * 2 - 1
    return Examples(x, torch.stack([x[:, 0] * x[:, 1], x[:, 2]], dim=1))


def search_of(model, examples, stop=lambda: False):
    return Search(BIMT(model), examples, None, Squares(lambda o, t: o - t), lambda _: None, stop)


def test_most_weights_go_at_no_larger_a_loss():
    search = search_of(MLP([4, 40, 30, 2], "silu", dtype=F64), data())
    search.budget = Budget(1e-6, 0, float("inf"))
    early_rounds(search)
    assert [one.what for one in search.path[1:]] == ["weights"] * (len(search.path) - 1)
    assert len(search.network().start) <= FEW_ENOUGH < search.path[0].weights
    assert all(one.loss <= search.path[0].loss for one in search.path)
    assert search.budget == Budget(1e-6, 0, float("inf"))


def test_they_end_at_a_number_of_weights_or_just_below():
    search = search_of(MLP([4, 40, 30, 2], "silu", dtype=F64), data())
    search.budget = Budget(float("inf"), 1000, float("inf"))
    early_rounds(search)
    assert 900 < search.now.weights <= 1000 and search.now.loss <= search.path[0].loss


def test_few_weights_are_left_alone_and_a_stop_is_heard():
    few = search_of(MLP([4, 6, 2], "silu", dtype=F64), data(50))
    early_rounds(few)
    stopped = search_of(MLP([4, 40, 30, 2], "silu", dtype=F64), data(50), stop=lambda: True)
    early_rounds(stopped)
    assert len(few.path) == len(stopped.path) == 1


def test_the_picture_by_all_examples_is_the_normal_equations():
    network = LiveNetwork(BIMT(MLP([4, 5, 2], "silu", dtype=F64)), data(30), Squares(lambda o, t: o - t))
    normal = network.normal(network.start)
    gradient, jacobian = network.sampled(network.start, network.examples)
    torch.testing.assert_close(gradient, normal.gradient)
    torch.testing.assert_close(jacobian.mT @ jacobian, normal.curvature)


def test_an_elimination_begins_with_them():
    e = eliminate(BIMT(MLP([4, 40, 20, 2], "silu", dtype=F64)), data(), max_loss=1e-2)
    kinds = [one.what for one in e.path]
    assert kinds[:2] == ["as given", "weights"] and "refit" in kinds and e.path[-1].loss <= 1e-2
    assert e.path[-1].weights < 60


def test_what_stays_does_also_where_the_curvature_is_no_number(monkeypatch):
    network = LiveNetwork(BIMT(MLP([4, 5, 2], "silu", dtype=F64)), data(30), Squares(lambda o, t: o - t))
    monkeypatch.setattr("bimt_tf.training.elimination.early_rounds._inverse", lambda *_: None)
    values = torch.linspace(1, 2, len(network.start), dtype=F64)
    lengths = torch.ones_like(values)
    lengths[:3] = 0  # the smallest stay
    found = _without(network, Few(network.examples, None), values, 4, lengths)
    assert (found == 0).nonzero().flatten().tolist() == [3, 4, 5, 6]
