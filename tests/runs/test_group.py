"""``bimt group`` and ``FinishedRun.group``: a run's embedding with a planted circuit, kept answers, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import answers
from bimt_tf.runs.ask.groups import embedding_of, group_of, tokens_of
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run

QUICK = {"eliminate": False, "steps": 2, "batch_size": 0, "compile": "no", "log_every": 1, "checkpoint_every": 2}


def code_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.fixture(scope="module")
def s4_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("s4") / "run"
    model = {"d_embed": 4, "hidden": [5]}
    training = {**QUICK, "lr": 1e-3, "fresh_moments": [], "cut": 0.0}
    train_run(make("s4", overrides={"model": model, "training": training}), path)
    return path


@pytest.fixture
def planted(s4_run):
    """Neuron 0 is minus the sign, read of the second factor alone; 1 is on no path; 2 is constant; 3 is random."""
    run = load_run(s4_run)
    signs = torch.tensor([1.0] * 12 + [-1.0] * 12)
    with torch.no_grad():
        table, weight = run.model.embed.weight, run.model.layers[0].weight
        table[:, 0], table[:, 2] = -2 * signs, 1.5
        weight[:, 1::4] = 0
        weight[:, 0] = 0
    return run


def test_active_neurons_are_on_a_path_and_vary(planted):
    held = embedding_of(planted, group_of(planted))
    assert held.neurons == [0, 3] and held.values.shape == (24, 2)
    assert sorted(neuron for part in held.modules for neuron in part) == [0, 3]
    assert tokens_of(planted, held.neurons) == {0: [1], 3: [0, 1]}
    np.testing.assert_array_equal(held.values[:, 1], planted.model.embed.weight[:, 3].detach())


def test_the_report_of_a_run(planted):
    found = planted.group(draws=100)
    first = found.spectrum.neurons[0]
    assert (first.neuron, first.best) == (0, "sign") and first.correlation == pytest.approx(-1)
    assert found.cosets[0].size == 12 and found.spectrum.neurons[1].share < 0.9
    assert {basis: round(value) for basis, value in found.standard.items()}["last"] == 108
    (mirrored,) = planted.group_mirrors(found)
    assert (mirrored.neuron, mirrored.irrep, mirrored.examples) == (0, "sign", 115)
    assert set(planted.group_figures(found)) == {"neurons", "cayley", "errors"}


def test_the_command_prints_draws_and_keeps(s4_run, capsys):
    assert code_of(["group", str(s4_run), "--draws", "50", "--figures"]) == 0
    out = capsys.readouterr().out
    assert "s4, seed 0" in out and "standard x sign" in out and out.splitlines()[-1].endswith("modules.json")
    (entry,) = answers(s4_run, "modules")
    assert entry["question"] == "group" and entry["asked"] == {"draws": 50, "seed": 0} and entry["made"]["seed"] == 0
    assert (s4_run / "figures" / "group-cayley.png").exists()
    assert code_of(["group", str(s4_run), "--draws", "50", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == entry["result"]


def test_a_directory_that_takes_no_answer(s4_run, tmp_path, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise InputError("cannot write")

    monkeypatch.setattr("bimt_tf.runs.answers.write_atomically", refuse)
    assert code_of(["group", str(s4_run), "--draws", "50"]) == 0
    out, error = capsys.readouterr()
    assert "effective dimension" in out and error == "note: the answer is not kept: cannot write\n"


def test_a_transformer_has_an_embedding_too(tmp_path):
    model = {"d_model": 8, "n_heads": 2}
    config = make("modular-addition-transformer", overrides={"data": {"modulus": 7}, "model": model, "training": QUICK})
    train_run(config, tmp_path / "run")
    run = load_run(tmp_path / "run")
    found = run.group(draws=50)
    assert found.neurons == list(range(8)) and len(found.embedding) == 7 and found.action is None
    assert tokens_of(run, found.neurons) == {}
    tables = [p for name, p in run.model.named_parameters() if "embed" in name and "pos" not in name]
    (table,) = [p for p in tables if p.shape == (8, 8)]
    np.testing.assert_allclose(found.embedding, table[:7].detach().double(), atol=1e-6)


def test_other_tasks_have_no_group(whole_run, capsys):
    assert code_of(["group", str(whole_run)]) == 2
    assert "in-context is no group's task" in capsys.readouterr().err
    with pytest.raises(InputError, match="no group's task"):
        load_run(whole_run).group()


def test_nothing_is_held_where_no_neuron_is_on_a_path(planted):
    with torch.no_grad():
        planted.model.layers[0].weight.zero_()
    with pytest.raises(InputError, match="nothing is held"):
        planted.group()


OWN_TASK = '''
import torch
from dataclasses import dataclass
from bimt_tf.tasks.groups import GroupTask

@dataclass(frozen=True)
class KleinOptions:
    train_share: float = 0.8
    """share of the examples that is trained on"""

@dataclass(frozen=True)
class Klein(GroupTask):
    Options: type = KleinOptions

    def table(self, options):
        number = torch.arange(4)
        return number[:, None] ^ number

    def elements(self, options):
        return list("eabc")

TASK = Klein("klein", "Klein's four group", {"best": {}})
'''


def test_a_group_task_of_ones_own(tmp_path, capsys):
    """No action is given, so the representations have no names of their own, and no bases are compared."""
    file = tmp_path / "klein.py"
    file.write_text(OWN_TASK)
    train_run(
        make(f"{file}:TASK", overrides={"model": {"d_embed": 2, "hidden": [3]}, "training": QUICK}), tmp_path / "r"
    )
    assert code_of(["group", str(tmp_path / "r"), "--draws", "50"]) == 0
    out = capsys.readouterr().out
    assert "4 elements, 2 active" in out and "1-dim a" in out and "by basis" not in out
