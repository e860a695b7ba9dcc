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
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.tasks.registry import TASKS
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination.live_network import FLAT, NOT_FINITE, Examples, LiveNetwork
from bimt_tf.training.elimination.objective import CrossEntropy, Divergence, Scalar, Squares, objective_of
from bimt_tf.training.elimination.rounds import Round
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


def test_what_has_the_class_minus_100_counts_for_nothing():
    targets = torch.arange(20) % 3
    ignored = torch.where(targets == 1, -100, targets)
    some = (targets != 1).nonzero().squeeze(1)
    whole = network(CrossEntropy(), ignored)
    kept = Examples(whole.examples.inputs[some], targets[some])
    part = LiveNetwork(BIMT(MLP([2, 4, 3], "silu", 0, dtype=F64)), kept, CrossEntropy())
    one, other = whole.normal(whole.start), part.normal(part.start)
    assert one.loss == pytest.approx(other.loss)
    torch.testing.assert_close(one.gradient, other.gradient)
    torch.testing.assert_close(one.curvature, other.curvature)


def test_a_logit_of_minus_infinity_is_a_class_less():
    def without_the_last(outputs, targets):
        return torch.cat([outputs[:, :2], torch.full_like(outputs[:, 2:], -torch.inf)], 1), targets

    targets = torch.arange(20) % 2
    masked = network(CrossEntropy(without_the_last), targets)
    fewer = network(CrossEntropy(lambda o, t: (o[:, :2], t)), targets)
    one, other = masked.normal(masked.start), fewer.normal(fewer.start)
    assert one.loss == pytest.approx(other.loss) and bool(one.curvature.isfinite().all())
    torch.testing.assert_close(one.gradient, other.gradient)
    torch.testing.assert_close(one.curvature, other.curvature)
    o = numbers(4, 3).log_softmax(-1)
    never = torch.tensor([0.25, 0.75, 0.0], dtype=F64).log().expand(4, 3)
    by_hand = (never.exp()[:, :2] * (never - o)[:, :2]).sum(1).mean()
    assert float(Divergence(lambda o, t: (o, t)).loss(o, never)) == pytest.approx(float(by_hand))


@pytest.mark.parametrize("wrong", [3, -1])
def test_targets_that_are_no_classes_are_refused(wrong):
    x, y = classes(30)
    y[25] = wrong
    bimt = BIMT(MLP([2, 4, 3], "silu", 0, dtype=F64))
    with pytest.raises(InputError, match=f"from 0 to 2, or -100 .*; found {wrong}"):
        eliminate(bimt, (x, y), "cross_entropy")
    with pytest.raises(InputError, match=f"found {wrong}"):
        eliminate(bimt, (x, y.clamp(0, 2)), "cross_entropy", validation=(x, y))


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_classes_may_be_any_whole_numbers(dtype):
    x, y = numbers(30, 2), torch.arange(30) % 2
    found = [eliminate(BIMT(MLP([2, 2, 2], "silu", 0, dtype=F64)), (x, t), "cross_entropy", loss_factor=1.2).path[-1]
             for t in (y, y.to(dtype))]  # fmt: skip
    assert found[0].loss == found[1].loss


def test_a_search_ends_where_all_that_is_left_is_frozen():
    x = numbers(40, 3, 2)
    model = RegressionTransformer(2, 1, d_model=3, n_layers=1, n_heads=1, d_mlp=2, n_ctx=3, seed=0, dtype=F64)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("W_Q"))
    held = {name: p.clone() for name, p in model.named_parameters()}
    y = model(x).detach()
    asked = iter(range(3000))
    found = eliminate(BIMT(model), (x, y), max_loss=100.0, validation=False, stop=lambda: next(asked, None) is None)
    assert found.ended and not bool(model.blocks[0].attn.W_Q.any())
    assert torch.equal(model.blocks[0].mlp.W_in, held["blocks.0.mlp.W_in"])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="all weights of the model are frozen"):
        eliminate(BIMT(model), (x, y), max_loss=100.0)


def test_the_residuals_of_images_are_differentiated_example_by_example():
    config = make("digits")
    targets = torch.arange(20) % 10
    found = network(task_loss(TASKS["digits"], config.data), targets, outputs=10)
    assert bool(found.normal(found.start).curvature.isfinite().all())
    one_hot = torch.nn.functional.one_hot(targets, 10).to(F64)
    assert found.loss(found.start) == pytest.approx(float((found.outputs() - one_hot).square().mean()))


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
    if name == "lm":  # goes by minibatches, which have tests of their own
        trainer.release_()
        return
    kept: list[Round] = []
    given = (inputs, data.targets[:6]), task_loss(TASKS[name], options)
    eliminate(trainer.bimt, *given, weights=5, validation=False, on_round=kept.append, stop=lambda: len(kept) > 2)
    assert len(kept) > 1 and kept[-1].weights < kept[0].weights
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
