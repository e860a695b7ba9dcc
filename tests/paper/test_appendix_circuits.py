"""Figures 7, A2, A3, A4, A7 and Appendix E: on networks made by hand that do what they say, and on ones that do not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.figures.carriers import Carrier, Reading, carriers_figure
from bimt_tf.figures.edits import edits_figure
from bimt_tf.figures.error_map import error_map_figure
from bimt_tf.figures.neuron_quantities import NeuronRow, neuron_quantities_figure
from bimt_tf.paper.figure_a2 import fit_by_squares, second_layer
from bimt_tf.paper.figure_a3 import last_layers
from bimt_tf.paper.figure_a4 import edit_panel
from bimt_tf.paper.figure_a7 import error_map
from bimt_tf.paper.hand_edits import edits_of, neurons_of_the_sine
from bimt_tf.paper.plan import jobs_of, plan
from bimt_tf.runs.trained import Trained
from bimt_tf.training.setup import set_up

SMALL, FAR = 0.05, 10.0
"""A step in which SiLU is a parabola, and a bias from which it is a straight line."""


def network(task, hidden, **data):
    """A network whose weights are all zero."""
    overrides = {
        "model": {"hidden": hidden}, "data": {"samples": 400, **data},
        "training": {"steps": 1, "compile": "no", "batch_size": 0},
    }  # fmt: skip
    trainer = set_up(make(task, overrides=overrides))
    made = Trained(trainer.config, trainer.model, trainer.bimt, eliminated=True)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.zero_()
    return made


def squares(sums=((0,), (0, 1), (2,))):
    """Symbolic (b) solved: three second neurons that hold these sums of squares, and the outputs read off them."""
    made = network("symbolic-b", [6, 3])
    first, second, last = (layer for layer in made.model.layers)
    with torch.no_grad():
        for i in range(3):
            first.weight[2 * i, i], first.weight[2 * i + 1, i] = SMALL, -SMALL
        for j, some in enumerate(sums):
            second.bias[j] = FAR
            for i in some:
                second.weight[j, 2 * i : 2 * i + 2] = 2 / SMALL**2
        held = torch.tensor([[float(i in some) for i in range(3)] for some in sums]).double()
        wanted = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1]]).double()
        last.weight[:] = (wanted @ torch.linalg.inv(held)).to(last.weight)
        last.bias[:] = -last.weight.sum(1) * FAR
    return made


def test_planted_squares_are_found():
    made = squares()
    found, _ = second_layer(made)
    assert [one.best for one in found] == ["x1²", "x1²+x2²", "x3²"]
    assert all(one.r[one.best] > 0.9999 and one.untrained[one.best] < 0.99 for one in found)
    fit, r2 = fit_by_squares(made, found[1])
    assert fit.startswith("+1 x1² +1 x2²") and r2 > 0.9999


def test_edits_do_what_is_predicted():
    first, second = edits_of(squares())
    assert (first.predicted, second.predicted) == ("2 x2² − x3²", "2 x1² + 2 x2² + x3²")
    for one in (first, second):
        assert one.r2 > 0.999 and one.r2_old < 0.9 and one.others == 0
    assert first.numbers == 4 and second.numbers == 2
    assert len(edits_figure([edit_panel(one, "planted") for one in (first, second)]).axes) == 2


def test_edits_miss_where_neurons_hold_something_else():
    """A second neuron that holds the cube of x2 too: its read-off formula is not what it does."""
    made = squares()
    with torch.no_grad():
        made.model.layers[1].weight[1, 2] *= 40  # of silu(+x2) alone: mostly linear in x2 now
    assert edits_of(made)[0].r2 < 0.9


def test_edits_leave_the_run_as_it_is():
    made = squares()
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    edits_of(made)
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())
    with pytest.raises(InputError, match="symbolic-a and symbolic-b"):
        edits_of(network("symbolic-c", [2, 2]))


def test_the_sine_is_turned_only_where_it_stands_by_itself():
    made = network("symbolic-a", [4, 2])
    first, second, last = (layer for layer in made.model.layers)
    with torch.no_grad():
        first.weight[0, 1] = first.weight[1, 3] = 1.0
        second.weight[0, 0] = second.weight[1, 1] = 1.0
        last.weight[0, :] = 1.0
    assert neurons_of_the_sine(made) == [1] and len(edits_of(made)) == 2
    turned = edits_of(made)[1]  # what x2 gives stays, what x4 gives changes its sign around its value at 0
    by_hand = 2 * made.model(made.held_out.inputs * torch.tensor([1, 1, 1, 0]))[:, 0] - turned.old
    assert torch.allclose(turned.new, by_hand.double())
    with torch.no_grad():
        second.weight[1, 0] = 0.1
    assert neurons_of_the_sine(made) == [] and len(edits_of(made)) == 1


def test_last_layers_tell_the_root_from_its_square():
    made = network("symbolic-c", [2, 2])
    x = made.held_out.inputs
    inner = (x[:, 0] - x[:, 1]) ** 2 + (x[:, 2] - x[:, 3]) ** 2
    assert last_layers(made)[0] == [] and torch.allclose(last_layers(made)[1], inner.double())
    with torch.no_grad():
        for layer in made.model.layers:
            layer.weight[0, 0] = 1.0
    for one in last_layers(made)[0]:
        assert one.r["I"] < 0.5 and one.r["rank of I"] < 0.6  # it holds x1


class Solved(nn.Module):
    """In-context regression by a formula: w from the solved example, or one w for all."""

    def __init__(self, w=None):
        super().__init__()
        self.w = w

    def forward(self, x):
        w = x[:, 1, 0] / x[:, 0, 1] if self.w is None else self.w
        return torch.stack([x[:, 0], x[:, 1], torch.stack([w * x[:, 2, 1], 0 * x[:, 2, 1]], 1)], 1)


def test_the_error_map_of_known_functions():
    config = make("in-context")
    like = SimpleNamespace(config=config, held_out=SimpleNamespace(inputs=torch.zeros(1, 3, 2, dtype=torch.float64)))
    exact = error_map(SimpleNamespace(**vars(like), model=Solved()), points=10)
    assert exact.errors.shape == (10, 10) and exact.errors.max() < 1e-12
    assert np.allclose(exact.used, exact.w[:, None])
    lazy = error_map(SimpleNamespace(**vars(like), model=Solved(0.0)), points=10)  # the mean w is 0
    assert np.allclose(lazy.along, lazy.guess) and np.allclose(lazy.used, 0)
    by_hand = np.sqrt(np.mean([(w * lazy.x[3]) ** 2 for w in -1 + 2 * (np.arange(13) + 0.5) / 13]))
    assert lazy.errors[5, 3] == pytest.approx(by_hand)
    assert len(error_map_figure(lazy).axes) == 4


def test_figures_refuse_nothing_to_draw():
    for draw in (lambda: edits_figure([]), lambda: neuron_quantities_figure([NeuronRow("a", [])]),
                 lambda: carriers_figure([], [], quantity="w", inputs=None)):  # fmt: skip
        with pytest.raises(InputError, match="at least one"):
            draw()
    figure = carriers_figure(
        [Reading("Res0", "x", None, 0.5), Reading("Res1", "x", 1.0, None)], [Carrier("Res1", "x", [3, 4], 0.9, 0.8, 1)],
        quantity="w", inputs=0.9,
    )  # fmt: skip
    assert "neurons 3, 4" in {text.get_text() for text in figure.axes[1].texts}


@pytest.mark.parametrize("name", ["fig7", "figA2", "figA3", "figA4", "figA7", "appE"])
def test_runs_are_the_tables_own_and_trials_lie_apart(name, tmp_path):
    jobs = jobs_of(plan(name), tmp_path, tmp_path)
    shared = {row.name: jobs_of(plan("table1", [row.name], ["bimt"]), tmp_path, tmp_path)
              for row in plan(name).rows if row in plan("table1").rows}  # fmt: skip
    for key, job in jobs.items():
        if key.row in shared:
            assert job in shared[key.row].values()
    for job in jobs_of(plan(name, quick=True), tmp_path, tmp_path).values():
        assert job.path.is_relative_to(tmp_path / name) and not job.config.training.eliminate
