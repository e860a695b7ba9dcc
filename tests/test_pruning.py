"""The criteria that an elimination is compared with, against plain references."""

from __future__ import annotations

import pytest
import torch

from benchmarks.pruning import CRITERIA, Layers, live, read_by, swept
from bimt_tf import BIMT, MLP, Geometry
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.minibatches import Minibatches
from bimt_tf.training.elimination.objective import Squares


def correlated(inputs: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, inputs, dtype=torch.float64, generator=generator)
    x[:, 1:] += 0.8 * x[:, :-1]
    return x


def one_by_one(weight, moment, share):
    """SparseGPT by its definition: a weight that goes is made up for by those behind it, solved anew each time."""
    result, size = weight.clone(), weight.shape[1]
    h = moment + 0.01 * moment.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    left = torch.stack([torch.linalg.inv(h[i:, i:])[0, 0] for i in range(size)])
    cost = (weight.square() / left).flatten()
    gone = torch.zeros(cost.numel(), dtype=torch.bool)
    gone[cost.argsort()[: cost.numel() - round(share * cost.numel())]] = True
    places = [(row, column) for column in range(size) for row in range(len(weight))]
    for row, column in (place for place in places if gone.view(weight.shape)[place]):
        behind = slice(column + 1, None)
        if column + 1 < size:
            result[row, behind] += torch.linalg.solve(h[behind, behind], h[behind, column]) * result[row, column]
        result[row, column] = 0
    return result


def test_the_sweep_is_what_the_paper_defines():
    x = correlated(6)
    moment, weight = (
        x.mT @ x / len(x),
        torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    found = swept(weight, moment, 0.5)
    assert torch.allclose(found, one_by_one(weight, moment, 0.5), atol=1e-10)
    assert int((found != 0).sum()) == 12
    plain = weight * (found != 0)
    assert (x @ (found - weight).mT).square().sum() < (x @ (plain - weight).mT).square().sum()


def test_what_is_zero_stays_zero_and_counts_as_gone():
    x, generator = correlated(8), torch.Generator().manual_seed(0)
    weight = torch.randn(4, 8, dtype=torch.float64, generator=generator)
    weight[torch.rand(4, 8, generator=generator) < 0.3] = 0
    found = swept(weight, x.mT @ x, 0.4)
    assert bool((found[weight == 0] == 0).all()) and int((found != 0).sum()) == round(0.4 * 32)


@pytest.fixture
def layers():
    model = MLP(sizes=[6, 10, 3], act_fn="relu", seed=0, dtype=torch.float64)
    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5, norm="l1"))
    x = correlated(6)
    with torch.no_grad():
        examples = Examples(x, model(x))
    held = bimt.parameters
    parameters = {wired.parameter: held[wired.parameter] for wired in bimt.wiring.wired}
    objective = Squares(lambda outputs, targets: outputs - targets)
    batches = Minibatches.of(model, parameters, objective, examples)
    return Layers(bimt, batches, {c.parameter: c for c in bimt.wiring.connections})


@pytest.mark.parametrize("name", CRITERIA)
def test_each_leaves_the_share_that_is_asked_and_goes_on_from_there(layers, name):
    generator = torch.Generator().manual_seed(0)
    total = live(layers)
    CRITERIA[name](layers, 0.5, generator)
    assert live(layers) == pytest.approx(0.5 * total, abs=2)
    before = {name: p.detach() == 0 for name, p in layers.weights.items()}
    CRITERIA[name](layers, 0.25, generator)
    assert live(layers) == pytest.approx(0.25 * total, abs=4 + 0.05 * total)
    assert all(bool((layers.weights[name][zero] == 0).all()) for name, zero in before.items())


def test_wanda_weighs_by_the_input(layers):
    read = read_by(layers)
    assert [tuple(one.weight.shape) for one in read.values()] == [(10, 6), (3, 10)]
    first = next(iter(read.values()))
    x = layers.batches.examples.inputs
    assert torch.allclose(first.moment, x.mT @ x / len(x))
    score = first.weight.abs() * x.square().mean(0).sqrt()
    wanted = score >= score.sort(1).values[:, 3:4]
    CRITERIA["wanda"](layers, 0.5, torch.Generator())
    assert torch.equal(first.weight != 0, wanted)
