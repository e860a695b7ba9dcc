"""Answers given at the same time, of networks made again, and beside a run that is measured again."""

import json
import multiprocessing
import threading

import pytest
import torch

from bimt_tf.runs.answers import answers, fingerprint, how_made, keep
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.kept_effects import ASKED, QUESTION, effects_made, kept_effects
from bimt_tf.runs.load import load_run
from bimt_tf.runs.lock import lock, lock_answers


@pytest.fixture
def run(whole_run, tmp_path):
    found = load_run(whole_run)
    found.path = tmp_path
    return found


def test_answers_given_at_once_are_all_kept(run):
    start, failed = threading.Barrier(6), []

    def ask(number):
        start.wait()
        try:
            for again in range(5):
                keep(run, "interventions", "ablate", {"n": [number, again]}, how_made(run), list(range(2_000)))
        except BaseException as error:
            failed.append(error)

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert not failed
    kept = answers(run.path, "interventions")
    assert sorted(one["asked"]["n"] for one in kept) == [[number, again] for number in range(6) for again in range(5)]


def test_a_question_does_not_wait_for_the_run_that_is_worked_on(run):
    with lock(run.path):
        keep(run, "modules", "modules", {}, how_made(run), 1)
    assert len(answers(run.path, "modules")) == 1


def _hold(path, held, done):
    with lock_answers(path):
        held.set()
        done.wait(30)


def test_an_answer_that_waits_too_long_is_said_not_to_be_written(run, monkeypatch):
    monkeypatch.setattr("bimt_tf.runs.lock.PATIENCE", 0.2)
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(run.path, held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(CannotWrite, match="in use"):
            keep(run, "modules", "modules", {}, how_made(run), 1)
    finally:
        done.set()
        other.join()
    keep(run, "modules", "modules", {}, how_made(run), 1)


def test_an_answer_about_another_network_does_not_take_the_place(run):
    before = fingerprint(run)
    keep(run, "modules", "modules", {}, how_made(run), 1)
    with torch.no_grad():
        next(run.model.parameters()).add_(1)
    assert fingerprint(run) != before
    keep(run, "modules", "modules", {}, how_made(run), 2)
    assert [one["result"] for one in answers(run.path, "modules")] == [1, 2]


def test_effects_of_another_network_are_not_taken_for_its_own(run):
    keep(run, "interventions", QUESTION, ASKED, effects_made(run), {"stage": [1.0]})
    assert kept_effects(run) == {"stage": [1.0]}
    with torch.no_grad():
        next(run.model.parameters()).add_(1)
    assert kept_effects(run) is None


def test_answers_stay_when_a_run_is_measured_again(run):
    keep(run, "probes", "probe", {}, how_made(run), 3)
    RunDirectory(run.path).write_summary({"seed": 1}, [{"a": 1}])
    assert json.loads((run.path / "probes.json").read_text())["probes"] == [{"a": 1}]
    assert [one["result"] for one in answers(run.path, "probes")] == [3]
    (run.path / "probes.json").write_text("{")
    RunDirectory(run.path).write_summary({"seed": 1}, [])
    assert json.loads((run.path / "probes.json").read_text()) == {"probes": []}
