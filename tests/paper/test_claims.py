"""The paper's claims, on networks made by hand that hold them and on ones that do not."""

from __future__ import annotations

import pytest
import torch

from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.config.reading import make
from bimt_tf.paper.claims import CLAIMS, module_knockouts, pruning_curve_left_of
from bimt_tf.runs.trained import Trained
from bimt_tf.training.setup import set_up

CHECKS = {claim.task: claim.check for claim in CLAIMS}


def network(task, hidden, **data):
    """A network whose weights are all zero."""
    overrides = {"model": {"hidden": hidden}, "data": data, "training": {"steps": 1, "compile": "no", "batch_size": 0}}
    trainer = set_up(make(task, overrides=overrides))
    made = Trained(trainer.config, trainer.model, trainer.bimt)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.zero_()
    return made


def join(made, layer, *pairs, weight=1.0):
    """Set weights of a layer: (source, target) pairs."""
    with torch.no_grad():
        for source, target in pairs:
            made.model.get_parameter(f"layers.{layer}.weight")[target, source] = weight


def test_two_modules():
    made = network("symbolic-a", [3, 2], samples=20)
    join(made, 0, (1, 0), (3, 0), (0, 1), (2, 1))
    join(made, 1, (0, 0), (1, 1))
    join(made, 2, (0, 0), (1, 1))
    assert CHECKS["symbolic-a"](made) == (True, "0 shared neurons")
    join(made, 1, (0, 1))  # the second output now sees hidden 0 and its inputs
    assert CHECKS["symbolic-a"](made) == (False, "3 shared neurons")
    join(made, 2, (1, 1), weight=0.0)  # an output of nothing is no module
    assert not CHECKS["symbolic-a"](made).holds


@pytest.mark.parametrize("count", [2, 3, 4])
def test_three_neurons_in_the_second_layer(count):
    made = network("symbolic-b", [2, 5], samples=20)
    join(made, 0, (0, 0))
    join(made, 1, *((0, i) for i in range(count)), (1, 4))  # hidden1's neuron 4 is fed by a neuron that is not
    join(made, 2, *((i, 0) for i in range(5)))
    assert CHECKS["symbolic-b"](made) == (count == 3, f"{count} neurons")


def test_one_neuron_holds_the_squared_distance():
    made = network("symbolic-c", [2, 2], samples=400, x_low=-0.1, x_high=0.1)
    join(made, 0, (0, 0))
    join(made, 1, (0, 0))
    join(made, 2, (0, 0))
    found = CHECKS["symbolic-c"](made)
    assert not found.holds and found.numbers.startswith("1 neurons")  # one neuron, but it holds x1

    class Squares(torch.nn.Module):
        def forward(self, x):
            return torch.stack([(x[:, 0] - x[:, 1]) ** 2 + (x[:, 2] - x[:, 3]) ** 2, torch.zeros(len(x))], dim=1)

    made.model.hook_dict["layers.1.hook_post"].add_hook(lambda value, hook: Squares()(made.held_out.inputs))
    held = CHECKS["symbolic-c"](made)
    made.model.reset_hooks()
    assert held == (True, "1 neurons, best |r| 1.000")


def test_one_class():
    made = network("two-moon", [2], samples=20)
    assert not CHECKS["two-moon"](made).holds
    join(made, 1, (0, 1), (1, 1))
    assert CHECKS["two-moon"](made) == (True, "weights lead to 1 of 2 classes")
    join(made, 1, (0, 0), weight=made.config.training.active)  # not above it: no active weight
    assert CHECKS["two-moon"](made).holds
    join(made, 1, (0, 0))
    assert not CHECKS["two-moon"](made).holds


def test_knocked_out_modules_lower_the_accuracy():
    made = network("modular-addition", [4], modulus=2, train_share=0.5)
    with torch.no_grad():  # two modules: one votes for class 0 always, and one for class 1, twice as strongly
        made.model.embed.weight[:] = torch.tensor([1.0, 1.0] + [0.0] * 30)
    join(made, 0, (0, 0), (1, 1))
    join(made, 1, (0, 0), (1, 1), weight=2.0)
    found = module_knockouts(made)
    share = float((made.held_out.targets == 0).double().mean())
    assert [size for size, _ in found] == [2, 2]
    assert sorted(accuracy for _, accuracy in found) == pytest.approx(sorted([share, 1 - share]))


def test_nine_embedding_neurons_and_a_sign():
    made = network("s4", [9])
    sign = made.task.features(made.config.data)["sign"]
    with torch.no_grad():
        made.model.embed.weight[:, :9] = torch.randn(24, 9, generator=torch.Generator().manual_seed(0))
    join(made, 0, *((i, i) for i in range(9)))
    join(made, 1, *((i, 0) for i in range(9)))
    assert not CHECKS["s4"](made).holds
    with torch.no_grad():
        made.model.embed.weight[:, 4] = -2 * sign + 0.5
    assert CHECKS["s4"](made) == (True, "9 neurons, sign |r| 1.000")
    join(made, 0, (20, 0))
    assert CHECKS["s4"](made).numbers.startswith("10 neurons")


def test_a_frontier_is_left_of_another():
    few = [PrunePoint(0.0, 10, 0.1, False), PrunePoint(0.1, 5, 0.2, False)]
    many = [PrunePoint(0.0, 40, 0.1, False), PrunePoint(0.1, 20, 0.2, False)]
    assert pruning_curve_left_of(few, many) == (True, "0.25 times the weights, no more at 100% of the losses")
    assert not pruning_curve_left_of(many, few).holds
    assert pruning_curve_left_of(few, [PrunePoint(0.0, 10, 5.0, False)]).holds
    assert not pruning_curve_left_of([PrunePoint(0.0, 0, 9.0, True)], [PrunePoint(0.0, 0, 9.0, True)]).holds
