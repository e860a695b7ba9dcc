"""Figures 8 and A8 to A11: what they are made of, what they measure on planted networks, and what they write."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bimt_tf.bimt import BIMT
from bimt_tf.cli.main import main
from bimt_tf.core.geometry import Geometry
from bimt_tf.errors import InputError
from bimt_tf.figures.image_features import image_features_figure
from bimt_tf.figures.weight_ranks import Sizes, weight_ranks_figure
from bimt_tf.models.mlp import MLP
from bimt_tf.paper import figure_a11, trial_runs
from bimt_tf.paper.figure_8 import wiring_lengths
from bimt_tf.paper.figure_a10 import features_of
from bimt_tf.paper.plan import jobs_of, plan


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture
def short(monkeypatch):
    """Runs of 60 steps and few neurons."""
    made = trial_runs.config_of

    def config_of(each, method, seed, quick, more=None):
        hidden = (more or {}).get("model", {}).get("hidden", (9, 9))
        few = {"model": {"hidden": hidden}, "training": {"steps": 60, "compile": "no", "batch_size": 20}}
        return made(each, method, seed, False, few)

    for room in (trial_runs, figure_a11):
        monkeypatch.setattr(room, "config_of", config_of)
    monkeypatch.setattr(figure_a11, "HIDDEN", ((4,), (4, 4)))


def local(cross):
    """A run whose hidden neurons each read the pixel below and are read by the output above; or by another's."""
    own = BIMT(MLP([9, 9, 9], seed=0), Geometry(2.0, 0.5, "l1", {"input": "grid", "hidden*": "grid", "output": "grid"}))
    with torch.no_grad():
        own.model.get_parameter("layers.0.weight")[:] = torch.eye(9).roll(cross, 0)
        own.model.get_parameter("layers.1.weight")[:] = torch.eye(9)
    return SimpleNamespace(bimt=own, threshold=0.0)


def test_wiring_is_measured_against_neurons_dealt_at_random():
    short_wires, dealt = wiring_lengths(local(0), draws=50)
    assert short_wires == 0 and dealt > 0.5
    longer, same = wiring_lengths(local(4), draws=50)
    assert longer > 0.5 and abs(same - dealt) < 0.4
    by_hand = local(4).bimt.places["hidden0"].numpy()
    assert longer == pytest.approx(np.abs(by_hand - np.roll(by_hand, -4, 0)).sum() / 18)


def test_features_stand_at_their_neurons():
    found = features_of(local(0))
    assert np.array_equal(found.weights, np.eye(9)) and found.active.all()
    assert np.allclose(found.places, found.pixel_places)
    figure = image_features_figure(*found)
    images = [axes.images[0].get_array() for axes in figure.axes]
    assert [int(np.argmax(image)) for image in images] == list(range(9))  # the first pixel's neuron comes first
    assert figure.axes[0].get_position().y0 > figure.axes[8].get_position().y0
    with pytest.raises(InputError, match="full grid"):
        image_features_figure(found.weights[:8], found.places, found.pixel_places[:8], found.active)


def test_weight_ranks_need_the_same_matrices():
    one = [Sizes("a", np.array([1.0, 0.1, 0.0]), 0.01)]
    (axes,) = weight_ranks_figure({"bimt": [one], "vanilla": [one]}).axes
    assert [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2][0] == [1.0, 0.1]
    with pytest.raises(InputError, match="same matrices"):
        weight_ranks_figure({"bimt": [one], "l1": [[Sizes("b", np.ones(2), 0.0)]]})
    with pytest.raises(InputError, match="at least one"):
        weight_ranks_figure({})


def test_runs_are_the_tables_own(tmp_path):
    wanted = {str(job.path): job.config for job in jobs_of(plan("table1", ["digits"]), tmp_path, tmp_path).values()}
    for name in ("fig8", "figA8", "figA9", "figA10"):
        for job in jobs_of(plan(name), tmp_path, tmp_path).values():
            assert wanted[str(job.path)] == job.config
    assert {job.config.model.hidden for job in jobs_of(plan("figA11"), tmp_path, tmp_path).values()} == {
        (100,), (100, 100), (100, 100, 100),
    }  # fmt: skip


def test_what_is_written(tmp_path, short, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs"]
    for name in ("fig8", "figA8", "figA9", "figA11"):
        methods = ["--methods", "l1,bimt"] if name == "figA9" else []
        assert bimt("reproduce", name, *methods, *places) == 0, capsys.readouterr()
        assert (tmp_path / "docs" / f"{name}.png").stat().st_size > 10_000 and (
            tmp_path / "docs" / f"{name}.pdf"
        ).exists()
    with (tmp_path / "docs" / "figA8-table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["step"] == "0" and rows[-1]["step"] == "60"
    with (tmp_path / "docs" / "figA9-table.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"l1", "bimt"}
    for snapshot in (tmp_path / "runs" / "digits" / "bimt-seed0" / "snapshots").iterdir():
        snapshot.unlink()
    capsys.readouterr()
    assert bimt("reproduce", "figA8", *places) == 2
    assert "has no snapshots" in capsys.readouterr().err


def test_mnist_is_made_where_its_files_are(tmp_path, short, capsys, monkeypatch, mnist_dir):
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "figA10", "--tasks", "mnist", "--out", tmp_path / "runs", "--docs", tmp_path / "docs"]
    assert bimt(*words) == 2
    said = capsys.readouterr().err
    assert "data/mnist" in said and "mnist.npz" in said and "digits" in said and said.count("\n") == 1
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(mnist_dir)
    assert bimt(*words) == 0, capsys.readouterr()
    assert (tmp_path / "docs" / "figA10-mnist.png").exists()
