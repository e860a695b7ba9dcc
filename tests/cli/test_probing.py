"""``bimt probe`` and ``bimt probe-map``: what they print, draw, keep and refuse."""

import json
import shutil

import numpy as np
import pytest

from bimt_tf.cli.main import main
from bimt_tf.runs.answers import answers
from bimt_tf.runs.load import load_run

TINY = ["--samples", "200", "--d-model", "8", "--n-layers", "1", "--n-heads", "2", "--batch-size", "16"]
TINY += ["--checkpoint-every", "20", "--steps", "20", "--no-eliminate"]


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert bimt("train", "in-context", *TINY, "--out", out) == 0
    return out


@pytest.fixture
def run(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "run")
    capsys.readouterr()
    return copy


def test_a_probe_is_printed_with_its_baselines_and_kept(run, capsys):
    assert bimt("probe", run, "--position", "1") == 0
    out = capsys.readouterr().out
    for word in (
        "w in blocks.0.hook_resid_post, token 1 (held-out R2)", "inputs (token 0, token 1)", "untrained network",
        "stage before (blocks.0.hook_resid_mid)", "target shuffled, highest of 10", "gain over the inputs",
        "gain over the stage before", "any pair, target shuffled", "40 examples, 40 distinct inputs",
        "1,000 bootstrap draws",
    ):  # fmt: skip
        assert word in out
    assert out.splitlines()[-1] == f"kept in {run / 'probes.json'}"
    (kept,) = answers(run, "probes")
    assert kept["question"] == "probe" and kept["asked"]["position"] == 1 and kept["asked"]["target"] == "w"
    assert kept["made"]["examples"] == 40 and kept["made"]["part"] == "held-out" and kept["made"]["probe_seed"] == 0
    assert kept["result"] == [load_run(run).probe(position=1).as_dict()]
    assert len(load_run(run).probes) == 2  # those of training stay


def test_values_from_a_file_and_json_alone(run, capsys, tmp_path):
    file = tmp_path / "above.npy"
    np.save(file, load_run(run).examples().quantities["w"].numpy() > 0)
    assert bimt("probe", run, "--position", 1, "--values", file, "--target", "above", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["target"] == "above" and found["kind"] == "classes" and 0 < found["chance"] < 1
    assert bimt("probe", run, "--position", 1, "--values", file, "--kind", "numbers") == 0
    assert "values in blocks.0.hook_resid_post" in capsys.readouterr().out
    assert [one["asked"]["kind"] for one in answers(run, "probes")] == [None, "numbers"]
    assert bimt("probe-map", run, "--values", file, "--hooks", "hook_embed") == 0
    assert "accuracy of always naming the most frequent class" in capsys.readouterr().out


def test_a_map_is_printed_drawn_and_kept(run, capsys, tmp_path):
    assert bimt("probe-map", run, "--target", "y1", "--figure", tmp_path / "map.pdf") == 0
    out = capsys.readouterr().out
    assert (tmp_path / "map.pdf").read_bytes().startswith(b"%PDF")
    assert "y1, linear read-out (held-out R2)" in out and "blocks.0.attn.hook_z, head 1" in out
    assert "blocks.0.hook_resid_pre holds the activations of hook_embed" in out and "made at" in out
    assert out.splitlines()[-2:] == [f"figure: {tmp_path / 'map.pdf'}", f"kept in {run / 'probes.json'}"]
    assert bimt("probe-map", run, "--target", "y1", "--hooks", "hook_embed", "--nonlinear", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["regressor"] == "nonlinear" and len(found["cells"]) == 3
    assert [one["question"] for one in answers(run, "probes")] == ["probe-map"] * 2


def test_an_answer_that_cannot_be_kept_is_printed_all_the_same(run, capsys):
    (run / "probes.json").write_text("{")
    assert bimt("probe", run, "--position", 1) == 0
    captured = capsys.readouterr()
    assert "untrained network" in captured.out and "kept in" not in captured.out
    assert captured.err.startswith("note: the answer is not kept: ") and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("probe --values nowhere.npy", "cannot read nowhere.npy"),
        ("probe --kind words", "words"),
        ("probe-map --target ww", "unknown target of in-context 'ww'"),
        ("probe-map --hooks hook_embde", "did you mean 'hook_embed'"),
        ("probe-map --hooks a,,b", "empty item"),
        ("probe-map --figure map.jpg", "unknown format of a figure 'jpg'"),
        ("probe-map --figure nowhere/map.png --hooks hook_embed", "nowhere/map.png"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message, capsys):
    command, *rest = arguments.split()
    assert bimt(command, run, *rest) in (1, 2)
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_file_of_words_or_with_code_in_it_is_refused(run, tmp_path, capsys):
    for name, content in (("words", np.array(["a", "b"])), ("code", np.array([{}], dtype=object))):
        np.save(tmp_path / f"{name}.npy", content, allow_pickle=True)
        assert bimt("probe", run, "--values", tmp_path / f"{name}.npy") == 2
        assert capsys.readouterr().err.count("\n") == 1
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    assert bimt("probe", run, "--values", tmp_path / "many.npz") == 2
    assert "holds no array of numbers" in capsys.readouterr().err
