"""Losses and their curvature: against brute force, and eliminations of losses that are no squares."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bimt_tf.bimt import BIMT
from bimt_tf.config.reading import make
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.tasks.registry import TASKS
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination.live_network import FLAT, NOT_FINITE, Examples, LiveNetwork
from bimt_tf.training.elimination.objective import CrossEntropy, Scalar, Squares, objective_of
from bimt_tf.training.elimination.task_loss import task_loss
from bimt_tf.training.setup import set_up

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def classes(n, count=3):
    x = numbers(n, 2)
    return x, (x[:, 0] > 0.3).long() + (x[:, 1] > 0).long() * (count - 2)


def network(objective, targets, n=20, outputs=3):
    bimt = BIMT(MLP([2, 4, outputs], "silu", 0, dtype=F64))
    return LiveNetwork(bimt, Examples(numbers(n, 2), targets), objective)


def gauss_newton(found, objective, targets):
    """H by loops: of each example, its outputs' Jacobian and the Hessian of its loss by them."""
    x, values = found.examples.inputs, found.start
    total = torch.zeros(len(values), len(values), dtype=F64)
    for i in range(len(x)):

        def outputs(values, i=i):
            return found._outputs(found._filled(values), x[i : i + 1])

        J = torch.autograd.functional.jacobian(outputs, values)[0]
        o = outputs(values).detach()
        B = torch.autograd.functional.hessian(lambda o, i=i: objective.loss(o, targets[i : i + 1]), o)[0, :, 0]
        total += J.mT @ B @ J / 2
    return total / len(x)


@pytest.mark.parametrize("kind", [CrossEntropy(), Scalar(torch.nn.functional.cross_entropy)])
def test_the_curvature_of_cross_entropy_is_that_of_loops(kind):
    targets = torch.arange(20) % 3
    found = network(kind, targets)
    normal = found.normal(found.start)
    torch.testing.assert_close(normal.curvature, gauss_newton(found, kind, targets))
    values = found.start.clone().requires_grad_()
    loss = kind.loss(found._outputs(found._filled(values), found.examples.inputs), targets)
    torch.testing.assert_close(normal.gradient, torch.autograd.grad(loss, values)[0] / 2)
    assert normal.loss == pytest.approx(loss.item()) and found.bend(found.start, found.start) is None


def test_a_scalar_of_squares_is_squares():
    targets = numbers(20, 3, seed=4)
    squares = network(Squares(lambda o, t: o - t), targets)
    scalar = network(Scalar(lambda o, t: (o - t).square().mean()), targets)
    one, other = squares.normal(squares.start), scalar.normal(scalar.start)
    assert one.loss == pytest.approx(other.loss)
    torch.testing.assert_close(one.gradient, other.gradient)
    torch.testing.assert_close(one.curvature, other.curvature)


def test_curvature_that_is_negative_counts_as_none():
    targets = numbers(20, 3, seed=4)
    bent = Scalar(lambda o, t: -(o - t).square().mean())
    found = network(bent, targets)
    assert float(found.normal(found.start).curvature.abs().max()) == 0.0


def test_positions_are_summed():
    """Cross entropy of several positions an example, as language models have them."""
    o, t = numbers(5, 4, 3), torch.arange(20).view(5, 4) % 3
    objective = objective_of("cross_entropy", o, t)
    assert objective.units(o, t) == 20
    assert float(objective.loss(o, t)) == pytest.approx(
        float(torch.nn.functional.cross_entropy(o.flatten(0, 1), t.flatten()))
    )
    assert objective.rows(o, t, objective.factors(o, t)).shape == (5, 12)


def test_classes_are_told_apart_by_fewer_weights():
    x, y = classes(300)
    bimt = BIMT(MLP([2, 8, 3], "silu", 0, dtype=F64))
    optimizer = torch.optim.Adam(bimt.model.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(bimt.model(x), y).backward()
        optimizer.step()
    done = eliminate(bimt, (x, y), "cross_entropy", max_loss=0.15)
    assert done.path[-1].loss <= 0.15 and done.path[-1].weights < done.path[0].weights / 2
    with torch.no_grad():
        assert float(torch.nn.functional.cross_entropy(bimt.model(x), y)) == pytest.approx(done.path[-1].loss)


def sure(scale):
    """A network whose classes are certain: logits of 0 and ``scale``."""
    model = TokenMLP(3, 2, 1, [4, 3], seed=0, dtype=F64)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.layers[1].bias.copy_(torch.tensor([scale, 0.0, 0.0], dtype=F64))
        model.layers[0].weight.fill_(0.5)
        model.layers[1].weight.copy_(1e-3 * numbers(*model.layers[1].weight.shape))
        model.embed.weight.copy_(numbers(*model.embed.weight.shape))  # equal ones would be folded into the biases
    return BIMT(model)


@pytest.mark.parametrize("scale", [0.0, 5.0, 50.0, 2000.0])
@pytest.mark.parametrize("weights", [1, None])
def test_curvature_that_vanishes_ends_the_search_and_raises_nothing(scale, weights):
    tokens, targets = torch.arange(3)[:, None], torch.zeros(3, dtype=torch.int64)
    bimt = sure(scale)
    done = eliminate(bimt, (tokens, targets), "cross_entropy", weights=weights, validation=False)
    assert math.isfinite(done.path[-1].loss) and all(p.isfinite().all() for p in bimt.parameters.values())
    assert done.path[-1].weights < done.path[0].weights
    assert (FLAT in done.notes) == (scale >= 2000)  # where the probabilities are 0 and 1 to the bit


def test_curvature_that_is_no_number_is_said():
    said = []
    found = network(Scalar(lambda o, t: (o - t).square().mean()), numbers(20, 3, seed=4))
    bad = LiveNetwork(BIMT(MLP([2, 4, 3], "silu", 0, dtype=F64)), found.examples, found._objective, note=said.append)
    bad.normal(bad.start * 1e200)
    assert said == [NOT_FINITE]


def test_equal_neurons_and_one_example():
    bimt = BIMT(MLP([2, 6, 1], "silu", 0, dtype=F64))
    with torch.no_grad():
        for p in (bimt.model.layers[0].weight, bimt.model.layers[0].bias):
            p[1:] = p[0]
        bimt.model.layers[1].weight[:, 1:] = bimt.model.layers[1].weight[:, :1]
    x = numbers(60, 2)
    targets = bimt.model(x).detach()
    done = eliminate(bimt, (x, targets), max_loss=1e-8, whole_neurons="first")
    assert done.path[-1].neurons["hidden0"] == 1 and done.path[-1].loss <= 1e-8
    alone = eliminate(BIMT(MLP([2, 3, 1], "silu", 0, dtype=F64)), (x[:1], targets[:1]), max_loss=1e-6)
    assert alone.path[-1].weights <= 1


NAMES = ["in-context", "symbolic-a", "two-moon", "digits", "modular-addition-transformer", "lm"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_fitted_of_a_task_is_its_training_loss(name):
    small = {"in-context": {"samples": 60}, "symbolic-a": {"samples": 60}, "two-moon": {"samples": 60},
             "modular-addition-transformer": {"modulus": 7}, "digits": {}, "lm": {}}[name]  # fmt: skip
    training = {"batch_size": 4, "compile": "no"}
    trainer = set_up(make(name, overrides={"data": small, "training": training}))
    options, data = trainer.config.data, trainer.data.train
    inputs, targets = data.inputs[:6], data.targets[:6]
    outputs = trainer.model(inputs).detach().double()
    targets = targets.double() if targets.is_floating_point() else targets
    objective = objective_of(task_loss(TASKS[name], options), outputs, targets)
    assert float(objective.loss(outputs, targets)) == pytest.approx(float(TASKS[name].loss(options, outputs, targets)))
    assert not isinstance(objective, Scalar)
    trainer.release_()


def test_the_first_token_is_not_fitted_where_it_is_not_read():
    outputs, targets = numbers(4, 3, 2), numbers(4, 2, seed=1)
    for read, columns in (("last", 1), ("all", 2)):
        options = make("in-context", overrides={"data": {"read": read}}).data
        fitted = TASKS["in-context"].fitted(options).read(outputs, targets)
        assert fitted.shape == (4, columns)
        loss = TASKS["in-context"].loss(options, outputs, targets)
        assert float(fitted.square().mean()) == pytest.approx(float(loss))


def test_two_parameters_on_one_memory_are_refused():
    """In float64 they would come apart, and the loss of the model would not be that of the last round."""
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, 4, bias=False)).double()
    model[2].weight.data = model[0].weight.data.T
    bimt = BIMT(model, wiring=Wiring.from_table({"0.weight": "h io@in", "2.weight": "io@out h"}, model))
    x = torch.zeros(5, 4, dtype=torch.float64)
    with pytest.raises(InputError, match=r"'0.weight' and '2.weight' are two parameters on one memory"):
        eliminate(bimt, (x, x), max_loss=1.0)
