"""``bimt wire``: a model's wiring on the terminal."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from bimt_tf.cli.commands import bimt
from bimt_tf.cli.console.wiring_table import _spans
from bimt_tf.errors import InputError

FILE = """
import torch
from torch import nn
MODEL = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
NUMBER = 3
def make():
    return MODEL
def broken():
    raise RuntimeError("no model")
"""


def said(capsys, *arguments):
    bimt(["wire", "--model", *map(str, arguments)], exit_on_error=False, print_error=False)
    return capsys.readouterr().out


def test_a_task_and_its_parameters(capsys):
    out = said(capsys, "in-context", "--parameters")
    assert "blocks.0-1.qk" in out and "blocks.1.attn.W_O" in out and "24,704" in out


def test_a_file_of_ones_own(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    assert "hidden0" in said(capsys, f"{path}:MODEL")
    found = json.loads(said(capsys, f"{path}:make", "--json"))
    assert found["weights"] == 20 and found["populations"][0]["name"] == "input"
    wrong = {"MODLE": "did you mean 'MODEL'", "NUMBER": "must be an nn.Module", "broken": "RuntimeError: no model"}
    for name, words in wrong.items():
        with pytest.raises(InputError, match=words):
            said(capsys, f"{path}:{name}")
    with pytest.raises(InputError, match="say which module"):
        said(capsys, path)
    with pytest.raises(InputError, match="the module's file .* is not there"):
        said(capsys, f"{tmp_path}/other.py:MODEL")


def test_a_directory_of_transformers(capsys, tmp_path):
    with torch.random.fork_rng():
        GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=3, n_head=2)).save_pretrained(
            tmp_path
        )
    out = said(capsys, tmp_path)
    assert "blocks.0-2.mlp" in out and "residual" in out


@pytest.mark.parametrize(("numbers", "spelled"), [([0], "0"), ([0, 1, 2], "0-2"), ([0, 1, 3, 5, 6], "0-1,3,5-6")])
def test_numbers_of_blocks_in_spans(numbers, spelled):
    assert _spans(numbers) == spelled


def test_a_run_is_told_from_a_model(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("task: in-context\n")
    with pytest.raises(
        InputError, match=r"is a run of the task in-context.*'bimt show .*bimt wire --model in-context'"
    ):
        bimt(["wire", "--model", str(tmp_path)], exit_on_error=False, print_error=False)
    (tmp_path / "config.yaml").write_text("task: [")
    with pytest.raises(InputError, match="is a run"):
        bimt(["wire", "--model", str(tmp_path)], exit_on_error=False, print_error=False)
