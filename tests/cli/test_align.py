"""bimt align and bimt export --effects: what they print, draw and keep."""

from __future__ import annotations

import json

import pytest

import bimt_tf
from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.runs.aligned_figure import figure_of
from bimt_tf.runs.execute import train_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    model = {"d_model": 8, "n_layers": 1, "n_heads": 2}
    training = {"steps": 60, "batch_size": 16, "compile": "no", "eliminate": False, "finish": 0.4}
    for seed in (0, 1, 2):
        overrides = {"data": {"samples": 200}, "model": model, "training": training}
        train_run(make("in-context", seed=seed, overrides=overrides), folder / f"seed{seed}", draw=False)
    return [folder / f"seed{seed}" for seed in (0, 1, 2)]


def bimt(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_align(runs, tmp_path, capsys):
    assert bimt("align", *runs, "--draws", 3, "--figure", tmp_path / "a.png") == 0
    out = capsys.readouterr().out
    assert "population" not in out and "blocks.0.mlp.hook_post[" in out and "module 0" not in out
    assert "beside seed" in out and "edges, all networks together" in out
    assert "compared: activations, 40 examples" in out and out.splitlines()[-1] == f"figure: {tmp_path / 'a.png'}"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert bimt("align", *runs, "--draws", 2, "--by", "weights", "--json", "--reference", "seed1") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"] == "seed1" and found["by"] == "weights" and found["examples"] is None
    assert [one["name"] for one in found["comparisons"]] == ["seed0", "seed2"]


def test_a_run_is_the_same_as_itself(runs):
    run = bimt_tf.load_run(runs[0])
    found = bimt_tf.align([run, bimt_tf.load_run(runs[0])], draws=2)
    assert found.comparisons[0].alike.value == pytest.approx(1) and found.comparisons[0].edges.value == 1
    assert len(set(found.names)) == 2
    before = run.bimt.layout
    figure_of(found, [run, bimt_tf.load_run(runs[0])])
    assert run.bimt.layout == before
    with pytest.raises(InputError, match="the alignment is of"):
        figure_of(found, [bimt_tf.load_run(path) for path in runs[:2]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--draws", "0"], "draws"),
        (["--examples", "1"], "examples"),
        (["--figure", "a.bmp"], "unknown format of a figure"),
        (["--reference", "seed9"], "did you mean"),
        (["--by", "names"], "activations"),
    ],
)
def test_mistakes(runs, words, said, capsys):
    assert bimt("align", *runs[:2], *words) == 2
    assert said in capsys.readouterr().err
    assert bimt("align", runs[0]) == 2 and "two run directories" in capsys.readouterr().err


def test_effects_are_computed_once_and_kept(run_copy, tmp_path, capsys):
    out = tmp_path / "g.gexf"
    assert bimt("export", run_copy, "--format", "gexf", "--out", out) == 0
    assert not any("effect" in data for _, data in bimt_tf.read_graph(out).nodes(data=True))
    assert bimt("export", run_copy, "--format", "gexf", "--out", out, "--effects") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"kept in {run_copy / 'interventions.json'}"
    graph = bimt_tf.read_graph(out)
    assert any("effect" in data for _, data in graph.nodes(data=True))
    (kept,) = json.loads((run_copy / "interventions.json").read_text())["answers"]
    assert kept["question"] == "neuron-effects" and kept["made"]["examples"] == 40
    node = ("residual", 3)
    stages = [values[3] for stage, values in kept["result"].items() if stage.startswith("Res")]
    assert graph.nodes[node]["effect"] == max(stages)
    assert bimt("export", run_copy, "--format", "json", "--out", tmp_path / "h.json") == 0
    assert bimt_tf.read_graph(tmp_path / "h.json").nodes[node] == graph.nodes[node]


@pytest.fixture
def run_copy(runs, tmp_path):
    import shutil

    return shutil.copytree(runs[0], tmp_path / "run")
