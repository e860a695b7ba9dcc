"""bimt reproduce: what it runs, what it writes, that it goes on, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

from bimt_tf.cli.main import main
from bimt_tf.config.methods import METHODS, PAPER_METHODS
from bimt_tf.errors import InputError
from bimt_tf.paper import plan as planning
from bimt_tf.paper import tables_of_the_paper as paper
from bimt_tf.paper.exhibits import EXHIBITS
from bimt_tf.paper.plan import plan


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Runs of 40 steps."""

    def tiny(config):
        def make(*given):
            made = config(*given)
            training = made.training.__class__(**{**vars(made.training), "steps": 40, "compile": "no", "finish": 0.2})
            return made.__class__(**{**vars(made), "training": training})

        return make

    monkeypatch.setattr(planning, "_config", tiny(planning._config))


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_plans_say_what_is_run():
    wanted = plan("table1")
    assert wanted.rows == paper.ROWS and wanted.methods == PAPER_METHODS and wanted.seeds == (0, 1, 2, 3, 4)
    assert [r.name for r in plan("figA1").rows] == ["products", "symbolic-a"]
    assert plan("fig2").seeds == (0,)
    trial = plan("table1", quick=True)
    assert [r.name for r in trial.rows] == ["symbolic-a", "two-moon"] and trial.seeds == (0,) and trial.quick
    part = plan("table2", ["two-moon", "symbolic-a"], ["bimt", "l1"], [3])
    assert [r.name for r in part.rows] == ["symbolic-a", "two-moon"] and part.methods == ("l1", "bimt")
    for mistake, named in [
        (("table3",), "'table1'"),
        (("table1", ["symbolic-d"]), "symbolic-"),
        (("table1", [], ["l2"]), "unknown method 'l2'"),
        (("fig2", ["s4"]), "products"),
        (("table1", [], [], [1, 1]), "seeds must differ"),
    ]:
        with pytest.raises(InputError, match=named):
            plan(*mistake)


def test_every_exhibit_has_a_name_of_its_own_and_runs_to_be_made_of():
    assert len({each.name for each in EXHIBITS}) == len(EXHIBITS)
    for each in EXHIBITS:
        assert all(row in each.rows for row in each.usual_rows)
        assert set(each.methods) <= set(METHODS) and each.usual_seeds


def test_tables_are_written_and_runs_shared(tmp_path, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs"]
    words = ["--tasks", "symbolic-a,two-moon", "--methods", "vanilla,bimt", "--seeds", "0-1", *places]
    assert bimt("reproduce", "table1", *words) == 0
    said = capsys.readouterr().out
    assert "of 2 rows" in said and said.splitlines()[-1].startswith("wrote ")
    with (tmp_path / "docs" / "table1.csv").open() as file:
        header, first, second = csv.reader(file)
    assert header[1:3] == ["vanilla, paper", "vanilla, ours"] and first[0].startswith("symbolic (a)")
    losses = [json.loads((tmp_path / f"runs/symbolic-a/bimt-seed{s}/summary.json").read_text()) for s in (0, 1)]
    assert first[header.index("bimt, ours")].startswith(f"{sum(run['test_loss'] for run in losses) / 2:.1e}")
    assert {path.name for path in (tmp_path / "docs").glob("network-*.png")} == {
        "network-symbolic-a.png", "network-two-moon.png",
    }  # fmt: skip
    claims = (tmp_path / "docs" / "claims.md").read_text()
    assert "no path" in claims and "one class" in claims and "of 2" in claims
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("summary.json")}
    assert len(before) == 8
    assert bimt("reproduce", "table2", *words) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("summary.json")} == before
    assert "of 2 rows" in (tmp_path / "docs" / "comparison.md").read_text().splitlines()[0]
    assert (tmp_path / "docs" / "table2.md").exists()
    assert bimt("reproduce", "figA1", "--tasks", "symbolic-a", *words[2:]) == 0
    with (tmp_path / "docs" / "figA1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(r["method"], r["seed"]) for r in rows} == {(m, s) for m in ("vanilla", "bimt") for s in "01"}
    assert (tmp_path / "docs" / "figA1.png").stat().st_size > 10_000


def test_finished_runs_are_written_without_training(tmp_path, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs"]
    words = ["reproduce", "table2", "--tasks", "two-moon", *places, "--no-train", "--methods"]
    assert bimt(*words, "l1,bimt") == 2
    assert "nothing to write" in capsys.readouterr().err and not (tmp_path / "docs").exists()
    assert bimt("reproduce", "table2", "--tasks", "two-moon", *places, "--methods", "bimt", "--seeds", "1") == 0
    runs = list((tmp_path / "runs" / "two-moon").iterdir())
    assert bimt(*words, "l1,bimt", "--seeds", "0-2") == 0
    assert list((tmp_path / "runs" / "two-moon").iterdir()) == runs
    page = (tmp_path / "docs" / "table2.md").read_text()
    assert "1 of 6 runs, the others have not ended" in page and "(1 of 3 seeds)" in page and "| – |" in page


def test_figure_2_draws_every_method(tmp_path, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs"]
    assert bimt("reproduce", "fig2", *places) == 0
    assert sorted(path.name for path in (tmp_path / "docs").iterdir()) == ["fig2.csv", "fig2.pdf", "fig2.png"]
    assert {path.name for path in (tmp_path / "runs" / "products").iterdir() if path.is_dir()} == {
        f"{method}-seed0" for method in PAPER_METHODS
    }


def test_a_run_of_other_settings_is_refused(tmp_path, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs"]
    words = ["reproduce", "table1", "--tasks", "two-moon", "--methods", "bimt", "--seeds", "0", *places]
    assert bimt(*words) == 0
    config = tmp_path / "runs" / "two-moon" / "bimt-seed0" / "config.yaml"
    config.write_text(config.read_text().replace("steps: 40", "steps: 41"))
    capsys.readouterr()
    assert bimt(*words) == 2
    assert "training.steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("table9",), "table1"),
        (("table1", "--seeds", "x"), "--seeds"),
        (("table1", "--tasks", "nothing"), "row of table1"),
        (("table1", "--methods", "bint"), "bimt"),
    ],
)
def test_mistakes_are_one_line(words, named, capsys, tmp_path):
    assert bimt("reproduce", *words, "--out", tmp_path / "runs", "--docs", tmp_path / "docs") == 2
    said = capsys.readouterr().err
    assert named in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
