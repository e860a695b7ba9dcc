"""report.html of a run: when it is written, that it never costs a run, and how a run is shown in a notebook."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from html import unescape

import pytest
import torch
from torch import nn

import bimt_tf
from bimt_tf import load_run
from bimt_tf.errors import InputError
from bimt_tf.runs import page_file
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.execute import eliminate_run, resume_run, train_run
from bimt_tf.runs.page_file import PAGE, is_current, write_page
from bimt_tf.runs.share import share
from bimt_tf.runs.stopping import Interrupted


@pytest.fixture(autouse=True)
def no_figures(request, monkeypatch):
    """They are other files' business, and take a while; the shared run, which has them, is made before."""
    if "whole_run" in request.fixturenames:
        request.getfixturevalue("whole_run")
    monkeypatch.setattr("bimt_tf.runs.conclude.figures_of", lambda *arguments: [])


def content(text):
    """What a page shows, as its panels read it."""
    return json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])


def files(directory):
    return {path.relative_to(directory).as_posix(): path.stat().st_mtime_ns for path in directory.rglob("*")}


def test_training_writes_the_page_that_the_finished_run_has(whole_run, tmp_path):
    made = load_run(whole_run).report(tmp_path / "again.html")
    assert made == tmp_path / "again.html"
    assert content(made.read_text()) == content((whole_run / PAGE).read_text())
    shown = content(made.read_text())
    assert shown["title"] == "in-context · bimt · seed 0" and ["state", "finished"] in shown["facts"]
    assert is_current(whole_run)


def test_where_no_figures_are_drawn_no_page_is_written(tiny_config, tmp_path):
    train_run(tiny_config("symbolic-b"), tmp_path / "run", draw=False)
    assert not (tmp_path / "run" / PAGE).exists() and not (tmp_path / "run" / "figures").exists()


def test_the_page_of_an_eliminated_run_shows_what_its_summary_tells_of(tiny_config, tmp_path):
    path = tmp_path / "run"
    train_run(tiny_config("symbolic-b", steps=150), path)
    before = content((path / PAGE).read_text())["scene"]["active"]
    from bimt_tf.config.settings import EliminationConfig

    summary = eliminate_run(path, EliminationConfig(weights=8), draw=True)
    shown = content((path / PAGE).read_text())
    assert shown["scene"]["active"] == summary["active_weights"] < before
    write_page(load_run(path, at="trained"), tmp_path / "trained.html")
    assert content((tmp_path / "trained.html").read_text())["scene"]["active"] == before
    assert content(load_run(path).report(tmp_path / "shown.html").read_text()) == shown


def test_resuming_a_measured_run_writes_its_page_again(run):
    (run / PAGE).unlink()
    resume_run(run, draw=False)
    assert not (run / PAGE).exists()
    summary = resume_run(run)
    assert (run / PAGE).is_file() and summary["notes"] == []


def fail(*arguments, **options):
    raise ZeroDivisionError("no such thing")


def test_a_page_that_cannot_be_made_costs_no_run(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(page_file, "page_text", fail)
    summary = train_run(tiny_config("symbolic-b"), tmp_path / "run")
    (note,) = summary["notes"]
    assert note == (
        "the page was not made: ZeroDivisionError: no such thing; "
        f"'bimt report {tmp_path / 'run'}' makes it"
    )  # fmt: skip
    run = load_run(tmp_path / "run")
    assert run.state == "finished" and run.summary == summary
    assert not (tmp_path / "run" / PAGE).exists()


def test_a_page_that_cannot_be_written_costs_no_run(run):
    (run / PAGE).unlink()
    (run / PAGE).mkdir()
    (note,) = resume_run(run)["notes"]
    assert note.startswith(f"the page was not made: cannot write {run / PAGE}: it is a directory")
    assert load_run(run).state == "finished"


def test_a_signal_while_the_page_is_made_leaves_a_finished_run(run, monkeypatch):
    (run / PAGE).unlink()
    monkeypatch.setattr(page_file, "page_text", lambda run: os.kill(os.getpid(), signal.SIGTERM) or "never")
    with pytest.raises(Interrupted, match=f"is measured, but its page is not made; 'bimt report {run}' makes it"):
        resume_run(run)
    assert load_run(run).state == "finished" and not (run / PAGE).exists()


def own(tmp_path, **more):
    x = torch.rand(60, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    model[1].eval()
    bimt_tf.train(model, (x, x.sum(1, keepdim=True)), steps=20, out=tmp_path / "own", progress=False, **more)
    return model


def test_a_model_of_one_s_own_gets_its_page_and_keeps_its_modes(tmp_path):
    model = own(tmp_path, batch_size=0)
    assert content((tmp_path / "own" / PAGE).read_text())["title"] == "own · bimt · seed 0"
    assert not (tmp_path / "own" / "figures").exists()
    assert json.loads((tmp_path / "own" / "summary.json").read_text())["notes"] == []
    assert [module.training for module in model] == [True, False, True]


def test_a_model_of_one_s_own_without_its_page(tmp_path):
    own(tmp_path, batch_size=0, page=False)
    assert not (tmp_path / "own" / PAGE).exists()


def test_a_finished_run_writes_where_it_is_told_and_nowhere_else(run, tmp_path):
    before = files(run)
    opened = load_run(run)
    opened.report(tmp_path / "page.html")
    opened.show()
    assert files(run) == before
    with pytest.raises(TypeError):
        opened.report()
    with pytest.raises(InputError, match="takes the path of a file to write, found a NoneType"):
        opened.report(None)
    with pytest.raises(CannotWrite, match="No such file or directory"):
        opened.report(tmp_path / "no" / "page.html")
    with pytest.raises(CannotWrite, match="it is a directory"):
        opened.report(tmp_path)


def test_a_run_in_a_zip_file_has_its_page(run, tmp_path):
    names = share(run, tmp_path / "run.zip")
    assert PAGE in names
    (run / PAGE).unlink()
    assert PAGE not in share(run, tmp_path / "without.zip")
    page = load_run(tmp_path / "run.zip").report(tmp_path / "page.html").read_text()
    assert content(page)["scene"] == content(load_run(run).report(tmp_path / "b.html").read_text())["scene"]


def test_when_a_page_is_older_than_its_run(run):
    assert is_current(run)
    young = (run / PAGE).stat().st_mtime_ns + 10**9
    for name in ("figures/network.png", ".lock"):
        os.utime(run / name, ns=(young, young))
    assert is_current(run)
    os.utime(run / "probes.json", ns=(young, young))
    assert not is_current(run)
    os.utime(run / PAGE, ns=(young, young))
    assert is_current(run)
    (run / PAGE).unlink()
    assert not is_current(run)


def test_in_a_notebook_a_run_is_shown_in_a_frame_of_its_own(run, tmp_path):
    opened = load_run(run)
    shown = opened.show(height=500)
    markup = shown._repr_html_()
    assert re.match(
        r'<iframe title="in-context, bimt, seed 0" sandbox="allow-scripts" width="100%" height="500"', markup
    )
    assert unescape(re.search(r'srcdoc="([^"]*)"', markup)[1]) == opened.report(tmp_path / "p.html").read_text()
    assert repr(shown) == "<page of in-context, bimt, seed 0, for a notebook; report(path) writes it into a file>"
    assert "IPython" not in sys.modules


@pytest.mark.parametrize("height", [0, 99, 10_001, True, "800", 1.5])
def test_a_height_that_cannot_be(run, height):
    with pytest.raises(InputError, match="height must be a whole number of pixels from 100 to 10,000"):
        load_run(run).show(height=height)
