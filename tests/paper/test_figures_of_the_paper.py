"""Figures 2 to 6, A1 and A6: planted truths of what they compute, and every one of them in a quick trial."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry, load_run
from bimt_tf.config.reading import make
from bimt_tf.paper import plan as planning
from bimt_tf.paper.figure_2 import mixed_neurons
from bimt_tf.paper.figure_3 import QUANTITIES, explained
from bimt_tf.paper.figure_4 import SHARES, chosen_snapshots
from bimt_tf.paper.figure_5 import modular_network
from bimt_tf.paper.plan import plan
from bimt_tf.paper.reproduce_all import reproduce_all
from bimt_tf.tasks.registry import TASKS

FIGURES = ("fig2", "fig3", "fig4", "fig5", "fig6", "figA1", "figA6")


@pytest.fixture(scope="module")
def trial(in_this_process, tmp_path_factory):
    """A quick trial of all these figures, of runs of 40 steps that have learned nothing."""
    own = planning._config

    def tiny(*given):
        made = own(*given)
        training = made.training.__class__(
            **{**vars(made.training), "steps": 40, "compile": "no", "finish": 0.2, "eliminate": False}
        )
        return made.__class__(**{**vars(made), "training": training})

    folder = tmp_path_factory.mktemp("trial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_config", tiny)
        plans = [plan(name, quick=True) for name in FIGURES]
        ends = reproduce_all(plans, folder / "runs", folder / "docs")
    return folder, {one.name: one for one in ends}


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_has_a_quick_trial(trial, name):
    folder, ends = trial
    assert ends[name].error is None and not ends[name].report.failed
    made = {path.name for path in ends[name].report.files}
    assert {f"{name}.png", f"{name}.pdf"} <= made or name in ("figA6",), made
    assert all((folder / "docs" / file).stat().st_size for file in made)
    assert "\n" not in ends[name].report.line


def test_runs_are_made_once(trial):
    folder, _ = trial
    runs = {str(path.parent.relative_to(folder / "runs")) for path in (folder / "runs").rglob("summary.json")}
    methods = ("vanilla", "l1", "l1-local", "l1-swap", "bimt")
    rows = ("symbolic-a", "symbolic-b", "symbolic-c", "two-moon", "modular-addition", "s4")
    assert runs == {f"products/{method}-seed0" for method in methods} | {f"{row}/bimt-seed0" for row in rows}


def test_figure_4_tells_each_stage_as_its_snapshot_is(trial):
    folder, _ = trial
    with (folder / "docs" / "fig4.csv").open() as file:
        rows = list(csv.DictReader(file))
    run = load_run(folder / "runs" / "two-moon" / "bimt-seed0")
    by_step = {one.step: one for one in run.snapshots}
    assert int(rows[0]["step"]) == 0 and int(rows[-1]["step"]) == 40
    for row in rows:
        assert float(row["loss"]) == pytest.approx(by_step[int(row["step"])].loss, rel=1e-4)
    assert float(rows[-1]["accuracy"]) == pytest.approx(run.evaluate()["accuracy"], abs=1e-4)
    assert int(rows[-1]["weights"]) == run.active_weights


def test_figure_5_knocks_out_what_it_says(trial):
    folder, _ = trial
    run = load_run(folder / "runs" / "modular-addition" / "bimt-seed0")
    network = modular_network(run)
    whole = next(one for one in network.knockouts if not one.out)
    assert whole.zero == whole.mean == pytest.approx(run.evaluate()["accuracy"])
    number = network.modules.modules[0].number
    one = next(each for each in network.knockouts if each.out == (number,))
    dead = [(name, i) for name, i in network.modules.module(number).nodes]
    with torch.no_grad():  # by hand: weights out of the module's neurons are 0
        for connection in run.bimt.wiring.connections:
            assert connection.parameter in dict(run.model.named_parameters())
        for name, parameter in run.model.named_parameters():
            depth = {"embed.weight": "embed", "layers.0.weight": "hidden0", "layers.1.weight": "hidden1"}.get(name)
            own = [i for stage, i in dead if stage == depth]
            if depth == "embed":
                parameter[:, own] = 0
            elif depth is not None:
                following = run.model.get_parameter(f"layers.{int(depth[-1]) + 1}.weight")
                following[:, own] = 0
    assert one.zero == pytest.approx(run.evaluate()["accuracy"])


def test_explained_is_1_of_a_function_of_the_quantity_alone():
    x = torch.rand(300, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert explained(3 * x[:, 0] ** 4 - x[:, 0] + 1, x[:, 0]) == pytest.approx(1)
    assert explained(x[:, 0], x[:, 1]) < 0.05  # five coefficients, 300 examples
    assert explained(x[:, 0], x[:, 0] ** 2) < 0.05  # the sign is lost
    both = explained(x[:, 0] + x[:, 1], x[:, 0])
    assert 0.4 < both < 0.6
    assert explained(torch.full((300,), 2.0), x[:, 0]) == 0


def test_quantities_are_the_tasks_formulas():
    for name, row, output in (("symbolic-a", "x2²+sin πx4", 0), ("symbolic-b", "x1²+x2²", 1)):
        config = make(name)
        data = TASKS[name].data(config.data, 0, torch.float64).test
        assert torch.allclose(QUANTITIES[name][row](data.inputs), data.targets[:, output])
    data = TASKS["symbolic-c"].data(make("symbolic-c").data, 0, torch.float64).test
    assert torch.allclose(QUANTITIES["symbolic-c"]["I, their sum"](data.inputs).sqrt(), data.targets[:, 0])


def test_mixed_neurons_are_those_that_both_products_reach():
    model = MLP([4, 3, 2, 2], act_fn="silu", seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        first, second, last = (model.get_parameter(f"layers.{i}.weight") for i in range(3))
        first[0, 0] = first[0, 3] = first[1, 1] = 1  # x1 and x4 to neuron 0, x2 to neuron 1; neuron 2 is idle
        second[0, 0] = second[1, 0] = second[1, 1] = 1  # neuron 1 of the second layer reads both
        last[0, 0] = last[1, 1] = 1
    run = SimpleNamespace(bimt=BIMT(model, Geometry(width=1.0, layer_gap=0.1)), threshold=0.0)
    assert mixed_neurons(run) == (4, 1)


def test_snapshots_nearest_to_the_shares_are_chosen_each_once():
    every = [SimpleNamespace(step=step) for step in (0, 9, 40, 260, 700, 1000)]
    assert [one.step for one in chosen_snapshots(every, 1000)] == [0, 9, 40, 260, 700, 1000]
    assert [one.step for one in chosen_snapshots(every[:1], 1000)] == [0]
    assert chosen_snapshots([], 1000) == [] and SHARES[0] == 0 and SHARES[-1] == 1
