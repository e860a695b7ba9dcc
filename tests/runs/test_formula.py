"""A run's formula: in the task's names, against its targets, printed, written as Python and kept."""

import json
import shutil

import numpy as np
import pytest
import torch

from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import answers
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run


@pytest.fixture(scope="module")
def product_run(tmp_path_factory, tiny_config_of):
    """A run of an MLP on products; it must not be changed."""
    path = tmp_path_factory.mktemp("products") / "run"
    train_run(tiny_config_of("products"), path)
    return path


@pytest.fixture(scope="module")
def tiny_config_of(tiny_config):
    return tiny_config


@pytest.fixture(scope="module")
def few(whole_run, tmp_path_factory):
    """An in-context run of which a few weights are left, so that it is read quickly; its arrays are not trained."""
    run = load_run(whole_run)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in run.model.named_parameters():
            share = 0.75 if "blocks" in name else 0.4
            parameter.mul_(torch.rand(parameter.shape, generator=generator) > share)
    return run


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_an_mlp_speaks_its_tasks_names(product_run):
    run = load_run(product_run)
    found = run.formula()
    assert set(found.variables) <= {"x1", "x2", "x3", "x4"} and list(found.written.outputs) == ["y1", "y2"]
    examples = run.examples()
    with torch.no_grad():
        out = run.model(examples.inputs).double()
    assert found.steps[0].network.max < 1e-6
    off = out - examples.targets
    assert found.steps[0].targets.max == pytest.approx(float(off.abs().max()), rel=1e-5)
    assert found.r2 >= 0.9999
    values = found({f"x{i + 1}": examples.inputs[:, i].numpy() for i in range(4)})
    worst = max(np.abs(values[f"y{i + 1}"] - out[:, i].numpy()).max() for i in range(2))
    assert worst == pytest.approx(found.steps[-1].network.max, rel=1e-4)


def test_a_transformer_is_read_where_its_loss_is(few):
    found = few.formula()
    assert found.made.position == 2 and list(found.written.outputs) == ["y"]
    assert set(found.exact.variables) <= {"x1", "y1", "x"}
    assert found.made.constant_inputs == {"y_t0": 0.0, "x_t1": 0.0, "y_t2": 0.0}
    assert found.steps[0].targets is not None
    first = few.formula(0)
    assert set(first.exact.variables) <= {"x1"} and first.steps[0].targets is None
    assert few.formula(-1).made.position == 2


def test_a_run_on_tokens_has_no_formula(tmp_path):
    training = {"steps": 4, "batch_size": 0, "eliminate": False, "log_every": 2, "checkpoint_every": 4, "compile": "no"}
    config = make(
        "modular-addition", overrides={"data": {"modulus": 7}, "model": {"hidden": [6]}, "training": training}
    )
    train_run(config, tmp_path / "run")
    with pytest.raises(InputError, match="tokens, not numbers"):
        load_run(tmp_path / "run").formula()


def test_the_command_prints_writes_and_keeps(product_run, tmp_path, capsys):
    run = shutil.copytree(product_run, tmp_path / "run")
    assert bimt("formula", run, "--python", tmp_path / "found.py", "--r2", "0.999") == 0
    out = capsys.readouterr().out
    assert "coefficients rounded" in out and "y1 = " in out and "R2 targets" in out
    assert out.splitlines()[-1].startswith(f"kept in {run / 'formulas.json'}")
    space = {}
    exec((tmp_path / "found.py").read_text(), space)
    (kept,) = answers(run, "formulas")
    assert kept["question"] == "formula" and kept["asked"]["r2"] == 0.999 and kept["made"]["seed"] == 0
    whole = load_run(run).formula(r2=0.999)
    values = space["formula"](*(np.linspace(-1, 1, 5) for _ in range(len(load_run(run).examples().inputs[0]))))
    np.testing.assert_allclose(
        values["y2"], whole({f"x{i}": np.linspace(-1, 1, 5) for i in range(1, 5)})["y2"], atol=1e-12
    )
    assert kept["result"]["formula"] == whole.written.lines


def test_json_and_latex_are_alone_on_stdout(product_run, tmp_path, capsys):
    run = shutil.copytree(product_run, tmp_path / "run")
    assert bimt("formula", run, "--json", "--exact") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"][0]["what"] == "the network, weight by weight" and found["exact"]
    assert bimt("formula", run, "--latex") == 0
    assert capsys.readouterr().out.startswith("\\begin{aligned}")
    assert len(answers(run, "formulas")) == 1  # the same question
    assert bimt("formula", run, "--latex", "--json") == 2
    assert "one of --json and --latex" in capsys.readouterr().err


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(product_run, capsys, monkeypatch):
    def full(*asked):
        raise CannotWrite("formulas.json: no space left")

    monkeypatch.setattr("bimt_tf.cli.console.kept.keep", full)
    assert bimt("formula", product_run) == 0
    printed = capsys.readouterr()
    assert "y1 = " in printed.out and "kept in" not in printed.out
    assert printed.err == "note: the answer is not kept: formulas.json: no space left\n"


def test_mistakes_are_said_in_a_line(product_run, capsys):
    for words, says in ((["--r2", "2"], "r2 must be below 1"), (["--position", "0"], "no positions")):
        assert bimt("formula", product_run, *words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
