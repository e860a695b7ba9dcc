"""A run's page, whatever a stranger wrote into the run's files: it is made, and holds no number that JSON cannot."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from bimt_tf.runs.answers import how_made, keep
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page.causes import causes_part
from bimt_tf.runs.page.kept import kept_answers, of_this_network
from bimt_tf.runs.page.modules import modules_part
from bimt_tf.runs.page.probes import probes_part
from bimt_tf.runs.page.run_facts import run_facts_part
from bimt_tf.runs.page_file import PAGE, write_page
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page

WRONG = [None, 3, "<script>", [], {}, [None], {"cells": 3}, {"found": None}, {"found": {"modules": [{}]}},
         [{"hook": 1}], float("nan"), {"target": "w", "regressor": "linear", "cells": [{"hook": "x"}]}]  # fmt: skip


@pytest.fixture
def run(whole_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(whole_run, path)
    return load_run(path)


def strict(part):
    json.dumps(part, allow_nan=False)
    return part


@pytest.mark.parametrize("result", WRONG, ids=repr)
def test_answers_that_hold_something_else_are_left_out(run, result):
    for kind, questions in (("probes", ("probe-map", "probe")), ("modules", ("modules",)), ("formulas", ("formula",)),
                            ("interventions", ("edges", "neuron-effects"))):  # fmt: skip
        for question in questions:
            file = keep(run, kind, question, {}, how_made(run), "whatever")
        held = json.loads(file.read_text())
        for one in held["answers"]:
            one["result"] = result
        file.write_text(json.dumps(held))
    again = load_run(run.path)
    strict([probes_part(again), kept_answers(again, "interventions"), modules_part(again), run_facts_part(again)])


@pytest.mark.parametrize("entry", [{"question": 3}, {"asked": 3}, {"asked": None}, {"asked": {"weights": 3}}])
def test_answers_to_no_question_are_left_out(run, entry):
    file = keep(run, "interventions", "edges", {}, how_made(run), {"loss": 1.0})
    held = json.loads(file.read_text())
    held["answers"].append(held["answers"][0] | entry)
    file.write_text(json.dumps(held))
    assert len(strict(kept_answers(load_run(run.path), "interventions"))) == 1


def test_numbers_that_are_not_finite_are_none(run):
    file = keep(run, "formulas", "formula", {}, how_made(run), {"formula": ["y = x"], "r2": 1.0})
    file.write_text(file.read_text().replace("1.0", "Infinity"))
    (one,) = of_this_network(load_run(run.path), "formulas")
    assert one["result"]["r2"] is None


def test_records_hold_numbers_of_any_size(run):
    metrics = run.path / "metrics.jsonl"
    lines = [{**json.loads(line), "loss": loss} for line, loss in zip(
        metrics.read_text().splitlines(), [10**400, float("nan"), "x"], strict=False)]  # fmt: skip
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "loss" not in strict(run_facts_part(load_run(run.path)))["records"]


def test_a_damaged_file_of_effects_costs_no_page(run, monkeypatch):
    monkeypatch.setattr("bimt_tf.runs.page.causes.SECONDS", 0.0)
    (run.path / "interventions.json").write_text("{")
    assert any("take long" in text for text in causes_part(load_run(run.path))["why"])


def test_halves_of_a_character_are_written():
    scene = {"rows": [], "wires": [], "links": [], "biases": []}
    text = page(PageContent("a \udcff", [("task", "\ud800")], scene))
    assert "a ?" in text and text.encode()


def test_a_folder_whose_name_is_no_utf_8_has_a_page(run):
    other = run.path.parent / os.fsdecode(b"caf\xe9 <b>")
    try:
        run.path.rename(other)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert len(load_run(other).snapshots) > 1
    assert write_page(load_run(other), other / PAGE) > 0
