"""Modules of finished runs: FinishedRun.modules, the command, what is kept, and other runs beside."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from torch import nn

import bimt_tf
from bimt_tf import load_run
from bimt_tf.analysis.modularity import modularity
from bimt_tf.cli.main import main
from bimt_tf.errors import InputError
from bimt_tf.runs.ask.modules import graph_of
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.matched_runs import matched_point, matched_run


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def opened(whole_run):
    return load_run(whole_run)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tiny_config):
    path = tmp_path_factory.mktemp("moons") / "run"
    train_run(tiny_config("two-moon", steps=60), path)
    return load_run(path)


def test_a_run_is_asked(opened):
    steps = []
    found = opened.modules(draws=3, n=40, progress=lambda *told: steps.append(told))
    assert found.found.q == pytest.approx(modularity(graph_of(opened)))
    assert [one.null for one in found.found.nulls] == ["sizes", "swaps", "entries"]
    of = 9 + len(found.found.modules)
    assert steps == [(done, of) for done in range(1, of + 1)]
    assert found.found.stability.restarts == 100 and found.against is None
    assert found.effects.examples == 40 and list(found.effects.whole) == list(opened.evaluate())
    assert (
        found.votes is None and found.combinations == () and set(found.read_outs.inputs) == {"w", "x", "x1", "y", "y1"}
    )
    assert found.found.modules[0].name.startswith("reads")
    assert "ModuleReport(Modules(Q" in repr(found) and "<table>" in found._repr_html_()
    assert found == opened.modules(draws=3, n=40)
    assert opened.modules(draws=0, n=40).found.nulls == ()


def test_unrolled_refined_and_without_outputs(opened):
    found = opened.modules(residual="unrolled", method="refined", outputs=False, draws=0, n=20)
    stages = {stage for one in found.found.modules for stage, _ in one.nodes}
    assert (
        "Res1" in stages
        and "output" not in stages
        and "writes" not in " ".join(one.name for one in found.found.modules)
    )
    assert found.found.q >= opened.modules(residual="unrolled", outputs=False, draws=0, n=20).found.q


def test_a_classifier_votes(classifier):
    found = classifier.modules(draws=0)
    assert found.votes.accuracy == pytest.approx(classifier.evaluate()["accuracy"])
    assert found.votes.chance == 0.5 and found.votes.examples == len(classifier.held_out.inputs)
    assert found.combinations[0].out == () and found.combinations[0].without == pytest.approx(found.effects.whole)


def test_several_outputs_have_a_loss_each(tmp_path, tiny_config):
    train_run(tiny_config("symbolic-a", steps=30), tmp_path / "run")
    run = load_run(tmp_path / "run")
    whole = run.modules(draws=0).effects.whole
    assert set(whole) == {"loss", "loss of x2²+sin πx4", "loss of (x1+x3)³"}
    loss, *each = whole.values()
    assert sum(each) / 2 == pytest.approx(loss)


def test_other_runs_stand_beside(opened, run):
    found = opened.modules(draws=0, n=20, against=[matched_run(run, 30)])
    (other,) = found.against.others
    assert other.q == pytest.approx(found.found.q) and other.weights == found.found.weights
    assert found.against.difference == pytest.approx(0) and found.against.ratios == (1.0,)
    assert other.loss == pytest.approx(opened.evaluate()["loss"])
    assert matched_point(opened, 30) is None


def test_an_eliminated_run_is_matched_by_weights(monkeypatch, opened):
    monkeypatch.setitem(vars(opened), "elimination", [{"weights": w} for w in (400, 100, 40, 0)])
    assert [matched_point(opened, w) for w in (1000, 150, 60, 1)] == [400, 100, 40, 40]


def test_what_cannot_be(opened):
    for options, said in [
        ({"draws": -1}, "draws must be a whole number of at least 0"),
        ({"draws": 1}, "draws must be a whole number of at least 2"),
        ({"n": 0}, "examples must be a whole number"),
        ({"method": "greed", "draws": 0}, "did you mean 'greedy'"),
        ({"residual": "share", "draws": 0}, "did you mean 'shared'"),
        ({"resolution": -1, "draws": 0}, "resolution must be above 0"),
    ]:
        with pytest.raises(InputError, match=said):
            opened.modules(**options)


def test_the_command_prints_and_keeps(run, capsys, tmp_path):
    drawn = tmp_path / "modules.png"
    assert bimt("modules", run, "--draws", "3", "--examples", "20", "--figure", drawn) == 0
    out = capsys.readouterr().out
    for word in ("Modules", "against chance (3 draws each", "Knocked out", "Kept alone", "Linear read-outs", "sizes"):
        assert word in out, out
    assert out.splitlines()[-2:] == [f"figure: {drawn}", f"kept in {run / 'modules.json'}"]
    assert re.search(r"^1: .*blocks\.0\.mlp\.hook_post\[\d+", out, re.MULTILINE) and "blocks.0.ov" not in out
    assert drawn.read_bytes().startswith(b"\x89PNG")
    (kept,) = json.loads((run / "modules.json").read_text())["answers"]
    assert kept["question"] == "modules" and kept["asked"]["draws"] == 3 and kept["made"]["examples"] == 20
    assert kept["result"]["found"]["modules"][0]["number"] == 1


def test_a_long_question_is_announced(run, capsys, monkeypatch):
    monkeypatch.setattr("bimt_tf.cli.modules.LONG", 2)
    assert bimt("modules", run, "--draws", "2", "--examples", "20", "--json") == 0
    assert re.fullmatch(r"note: .* 2 networks of \d+ weights .*--draws 0 leaves them out\n", capsys.readouterr().err)


def test_json_alone_on_stdout_and_still_kept(run, capsys):
    assert bimt("modules", run, "--draws", "0", "--examples", "20", "--json", "--against", run) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["against"]["difference"] == pytest.approx(0)
    assert json.loads((run / "modules.json").read_text())["answers"][0]["result"] == found


def test_a_directory_that_cannot_be_written(run, capsys, monkeypatch):
    from bimt_tf.runs.atomic import CannotWrite

    def refuse(*given):
        raise CannotWrite("cannot write")

    monkeypatch.setattr("bimt_tf.cli.console.kept.keep", refuse)
    assert bimt("modules", run, "--draws", "0", "--examples", "20") == 0
    captured = capsys.readouterr()
    assert captured.err == "note: the answer is not kept: cannot write\n" and "Knocked out" in captured.out
    shutil.rmtree(run)


def test_a_figure_of_another_form(run, capsys):
    assert bimt("modules", run, "--figure", "modules.gif") == 2
    assert "unknown format of a figure 'gif'" in capsys.readouterr().err


def test_a_model_without_hooks_is_told_what_else_there_is(tmp_path):
    def network():
        return nn.Sequential(nn.Linear(2, 6), nn.SiLU(), nn.Linear(6, 1))

    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    data = (x, x[:, :1] * x[:, 1:])
    bimt_tf.train(network(), data, "squared", steps=20, out=tmp_path / "own")
    run = bimt_tf.load_run(tmp_path / "own", model=network(), data=data)
    with pytest.raises(InputError, match="a Sequential has no hooks, .* find_modules"):
        run.modules()
