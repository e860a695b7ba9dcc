"""bimt reproduce modularity: its runs, its table and what it says of chance and of L1."""

from __future__ import annotations

import csv

import pytest

from bimt_tf.cli.main import main
from bimt_tf.paper import modularity
from bimt_tf.paper.modularity import LAMBDA_FACTORS
from bimt_tf.paper.plan import jobs_of, plan


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_l1_runs_are_those_of_the_preset_with_another_lambda(tmp_path):
    jobs = jobs_of(plan("modularity", ["symbolic-a", "in-context"], [], [3]), tmp_path / "out", tmp_path)
    l1, ours = jobs["symbolic-a", "l1", 3, ""], jobs["symbolic-a", "bimt", 3, ""]
    assert ours.path == tmp_path / "out" / "symbolic-a" / "bimt-seed3"
    assert l1.path == tmp_path / "out" / "modularity" / "symbolic-a" / "l1-seed3"
    pairs = zip(l1.config.training.lam, ours.config.training.lam, strict=True)
    assert all(theirs == pytest.approx((start, 4 * lam)) for theirs, (start, lam) in pairs)
    assert jobs["in-context", "l1", 3, ""].config.training.eliminate


def test_every_row_has_a_factor():
    assert {row.name for row in plan("modularity").rows} == set(LAMBDA_FACTORS)


def test_the_table(tmp_path, monkeypatch, capsys):
    made = modularity._config

    def short(*given):
        config = made(*given)
        training = {**vars(config.training), "steps": 60, "compile": "no", "finish": 0.2}
        return config.__class__(**{**vars(config), "training": config.training.__class__(**training)})

    monkeypatch.setattr(modularity, "_config", short)
    monkeypatch.setattr(modularity, "DRAWS", 3)
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs", "--seeds", "0", "--workers", "1"]
    assert bimt("reproduce", "modularity", "--tasks", "two-moon", *places) == 0
    assert "above chance by sizes and swaps in every seed: no task" in capsys.readouterr().out
    page = (tmp_path / "docs" / "modularity.md").read_text()
    assert "| two-moon | 1 |" in page and "p ≤ 0.05 in 0 of 1" in page
    with open(tmp_path / "docs" / "modularity-seeds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [("bimt", "0"), ("l1", "0")]
    assert all(row["Q"] and row["weights"] for row in rows) and rows[0]["mean swaps"] and not rows[1]["mean swaps"]
    assert bimt("reproduce", "modularity", "--tasks", "two-moon", "--methods", "bimt", "--no-train", *places) == 0
    assert "| – | – | – |" in (tmp_path / "docs" / "modularity.md").read_text()
