"""The rows that a curvature of classes is made of: those that count, and a few drawn by their size."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, jacrev

from bimt_tf import BIMT, MLP, Geometry
from bimt_tf.training.elimination.heavy_rows import drawn_rows, heavy_rows
from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.objective import CrossEntropy, Scalar


def test_light_rows_are_left_out_and_even_ones_are_not():
    sizes = torch.full((6, 5), 1e-12, dtype=torch.float64)
    planted = [(0, 3), (2, 0), (2, 4), (3, 2), (5, 1)]
    for of, row in planted:
        sizes[of, row] = 1e-5 if row == 2 else 1.0 + of  # a class that is never likely keeps its own largest rows
    sizes[1, 3], sizes[4, 0] = 2e-12, 2e-12  # examples that are never in doubt keep theirs
    found = heavy_rows(sizes)
    assert list(zip(found.of.tolist(), found.row.tolist(), strict=True)) == sorted([*planted, (1, 3), (4, 0)])
    assert heavy_rows(torch.ones(6, 5)) is None  # a pass for each row would cost more than one for each example
    assert heavy_rows(None) is None
    assert heavy_rows(torch.full((6, 5), torch.nan)) is None


def sure_network(gain):
    """Six classes, logits as large as ``gain`` makes them: the larger, the surer the network is of one."""
    model = MLP([3, 8, 6], seed=1, dtype=torch.float64)
    with torch.no_grad():
        list(model.parameters())[-2].mul_(gain)
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        targets = model(inputs).argmax(-1)
    return model, Examples(inputs, targets)


def exact_curvature(model, examples):
    """Of the mean cross entropy, example by example: half of J'(diag p - pp')J / n."""
    named = {name: p.detach() for name, p in model.named_parameters()}
    total = 0.0
    for x in examples.inputs:
        jacobian = jacrev(lambda p, x=x: functional_call(model, p, (x[None],))[0])(named)
        j = torch.cat([jacobian[name].flatten(1) for name in named], 1)
        p = model(x[None])[0].softmax(-1).detach()
        total = total + j.mT @ (torch.diag(p) - torch.outer(p, p)) @ j
    return total / (2 * len(examples.inputs))


@pytest.mark.parametrize(("gain", "picked"), [(1.0, False), (400.0, True)])
def test_the_curvature_of_the_heavy_rows_is_that_of_all(gain, picked):
    model, examples = sure_network(gain)
    network = LiveNetwork(BIMT(model, Geometry()), examples, CrossEntropy())
    sizes = CrossEntropy().sizes(CrossEntropy().factors(model(examples.inputs).detach(), examples.targets))
    assert (heavy_rows(sizes) is not None) == picked
    wanted = exact_curvature(model, examples)
    found = network.normal(network.start).curvature
    assert found.shape == wanted.shape
    assert float((found - wanted).norm()) <= 1e-4 * float(wanted.norm())


def test_sizes_are_those_of_the_columns_of_s():
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    classes = torch.arange(7) % 5
    objective = CrossEntropy()
    p = logits.softmax(-1)
    s = (torch.diag_embed(p.sqrt()) - p[:, :, None] * p.sqrt()[:, None, :]) / 2**0.5
    sizes = objective.sizes(objective.factors(logits, classes))
    assert torch.allclose(sizes, s.square().sum(1))
    scalar = Scalar(lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets))
    assert torch.allclose(scalar.sizes(scalar.factors(logits, classes)).sum(1), sizes.sum(1))


def test_drawn_rows_stand_for_all_on_average():
    model, examples = sure_network(8.0)
    network = LiveNetwork(BIMT(model, Geometry()), examples, CrossEntropy())
    wanted = exact_curvature(model, examples)
    errors = []
    for rows in (20, 200):
        jacobian = network.sampled(network.start, examples, rows).jacobian
        assert len(jacobian) == rows
        errors.append(float((jacobian.mT @ jacobian - wanted).norm() / wanted.norm()))
    assert errors[1] < 0.15 < 4 * errors[0]  # more rows are nearer, and few are already of the right size
    assert errors[0] < 1
    even = drawn_rows(torch.zeros(3, 4), 6)
    assert len(even.rows.of) == 6 and bool(even.scale.isfinite().all())


def test_the_gradient_beside_drawn_rows_is_that_of_all_examples():
    model, examples = sure_network(2.0)
    network = LiveNetwork(BIMT(model, Geometry()), examples, CrossEntropy())
    found = network.sampled(network.start, examples, 10)
    assert torch.allclose(found.gradient, network.normal(network.start).gradient)
