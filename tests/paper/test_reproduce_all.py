"""bimt reproduce all: one pool for all exhibits, a second round for what waits, and each failure told apart."""

from __future__ import annotations

import json

import pytest

from bimt_tf.cli.main import main
from bimt_tf.config.reading import dump, make
from bimt_tf.errors import InputError
from bimt_tf.paper import exhibits as known
from bimt_tf.paper import plan as planning
from bimt_tf.paper import reproduce_all as everything
from bimt_tf.paper.exhibit import Exhibit, Made, Plan
from bimt_tf.paper.reproduce_all import reproduce_all
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.pool.job import Outcome, finished
from bimt_tf.runs.atomic import write_atomically

MOONS = row("two-moon")


def writes(name, needs=None, fails=None, task=MOONS):
    """An exhibit that writes NAME.txt, of two-moon's runs; it takes a file that another one wrote, or fails."""

    def jobs(plan, out, docs):
        if needs and not (docs / needs).exists():
            raise InputError(f"there is no {needs}")
        return planning.jobs_of(plan._replace(exhibit=exhibit._replace(jobs=None)), out, docs)

    def made(runs, docs):
        if fails is not None:
            raise fails
        write_atomically(docs / f"{name}.txt", name.encode())
        return Made([docs / f"{name}.txt"], f"{name} of {len(runs.ended)} runs")

    exhibit = Exhibit(name, (task,), (task,), ("vanilla", "bimt"), (0,), made, jobs)
    return exhibit


@pytest.fixture
def pool(monkeypatch):
    """A pool that makes no run: those whose directory holds "broken" fail. Gives the jobs of each call."""
    calls = []

    def run(jobs, **given):
        calls.append([job.path for job in jobs])
        failed = [(job.path / "broken").exists() for job in jobs]
        return [
            Outcome(job, None if bad else {}, "died" if bad else None) for job, bad in zip(jobs, failed, strict=True)
        ]

    monkeypatch.setattr(everything, "run_jobs", run)
    monkeypatch.setattr(everything, "finished", lambda job: None)
    return calls


def planned(*exhibits):
    return [Plan(each, each.usual_rows, each.methods, each.usual_seeds, False) for each in exhibits]


def test_runs_are_shared_and_what_waits_has_a_second_round(tmp_path, pool):
    said = []
    plans = planned(writes("late", needs="first.txt"), writes("first"), writes("other", task=row("symbolic-a")))
    ends = reproduce_all(plans, tmp_path / "runs", tmp_path / "docs", stage=said.append)
    assert [one.name for one in ends] == ["late", "first", "other"] and not any(one.error for one in ends)
    assert [len(call) for call in pool] == [4, 2]  # two runs of either task, then late's two, which are done by then
    assert ends[0].report.line == "late of 2 runs"
    assert said == [f"{name}, {i} of 3: measuring and drawing" for i, name in enumerate(("first", "other", "late"), 1)]


def test_a_failure_stops_no_other(tmp_path, pool):
    broken = tmp_path / "runs" / "two-moon" / "bimt-seed0"
    broken.mkdir(parents=True)
    (broken / "broken").touch()
    plans = planned(
        writes("bug", fails=KeyError("x")), writes("said", fails=InputError("no such\nthing")), writes("good"),
        writes("never", needs="nothing.txt"),
    )  # fmt: skip
    bug, said, good, never = reproduce_all(plans, tmp_path / "runs", tmp_path / "docs")
    assert bug.error == "KeyError: 'x'" and said.error == "no such thing" and never.error == "there is no nothing.txt"
    assert good.report.line == "good of 1 runs" and [run.error for run in good.report.failed] == ["died"]


def test_runs_of_other_settings_stop_their_exhibit_alone(tmp_path, pool, monkeypatch):
    monkeypatch.setattr(everything, "finished", finished)
    run = tmp_path / "runs" / "two-moon" / "bimt-seed0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(dump(make("two-moon", None, "bimt", 7)))
    plans = planned(writes("odd"), writes("other", task=row("symbolic-a")))
    odd, other = reproduce_all(plans, tmp_path / "runs", tmp_path / "docs")
    assert other.report and odd.error and "of another config: seed is 7 there, 0 here" in odd.error


def test_the_command_says_what_was_made_and_what_was_not(tmp_path, pool, monkeypatch, capsys):
    monkeypatch.setattr(known, "EXHIBITS", (writes("good"), writes("bad", fails=InputError("it is damaged"))))
    monkeypatch.setattr(planning, "EXHIBITS", known.EXHIBITS)
    words = ["reproduce", "all", "--out", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 1
    assert lines == ["good: good of 2 runs", "bad NOT MADE: it is damaged",
                     "1 of 2 tables and figures made; not made: bad"]  # fmt: skip
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["results"] == {"good": "good of 2 runs"} and told["not made"] == {"bad": "it is damaged"}
    with pytest.raises(SystemExit) as ended:
        main([*words, "--tasks", "s4"])
    assert ended.value.code == 2 and "one target" in capsys.readouterr().err
    monkeypatch.setattr(known, "EXHIBITS", known.EXHIBITS[:1])
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0 and capsys.readouterr().out.endswith("1 of 1 tables and figures made\n")


def test_without_training_what_has_no_run_is_named(tmp_path):
    (end,) = reproduce_all(planned(writes("good")), tmp_path / "runs", tmp_path / "docs", train=False)
    assert end.error == "no run of it has ended"
