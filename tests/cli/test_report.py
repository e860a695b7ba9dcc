"""``bimt report`` and ``bimt view``: what they write, open, print and refuse; and what training says of the page."""

from __future__ import annotations

import json
import os
import shutil
import webbrowser

import pytest
import torch

import bimt_tf
from bimt_tf import MLP
from bimt_tf.cli.main import main

TINY = ["--samples", "200", "--hidden", "5,4", "--batch-size", "16", "--checkpoint-every", "20", "--steps", "40"]


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert bimt("train", "symbolic-b", *TINY, "--no-figures", "--out", out) == 0
    assert bimt("report", out) == 0
    return out


@pytest.fixture
def run(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "run")
    capsys.readouterr()
    return copy


@pytest.fixture
def opened(monkeypatch):
    """The addresses that were opened in the browser."""
    found = []
    monkeypatch.setattr(webbrowser, "open", lambda address: found.append(address) or True)
    return found


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_training_names_the_page_beside_the_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bimt_tf.runs.conclude.figures_of", lambda *arguments: ["curves"])
    out = tmp_path / "run"
    assert bimt("train", "symbolic-b", *TINY, "--no-eliminate", "--out", out) == 0
    assert lines(capsys)[-3:] == [f"figures: {out / 'figures'}", f"page: {out / 'report.html'}", f"results: {out}"]
    assert bimt("train", "symbolic-b", *TINY, "--no-eliminate", "--out", out, "--overwrite", "--no-figures") == 0
    assert lines(capsys)[-1] == f"results: {out}"
    assert not (out / "report.html").exists() and not (out / "figures").exists()
    assert bimt("resume", out, "--no-figures") == 0 and not (out / "report.html").exists()
    assert bimt("eliminate", out, "--weights", 8, "--no-figures") == 0 and not (out / "report.html").exists()
    assert bimt("resume", out) == 0 and (out / "report.html").is_file()


def test_report_says_where_the_page_is(run, tmp_path, capsys):
    (run / "report.html").unlink()
    assert bimt("report", run) == 0
    size = (run / "report.html").stat().st_size
    assert lines(capsys)[-1] == f"page: {run / 'report.html'} ({size:,} bytes)"
    assert bimt("report", run, "--out", tmp_path / "p.html", "--at", "trained", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "page": str(tmp_path / "p.html"),
        "bytes": (tmp_path / "p.html").stat().st_size,
    }


def test_the_page_of_another_point_needs_a_file_of_its_own(run, capsys):
    before = (run / "report.html").read_bytes()
    assert bimt("report", run, "--at", "end") == 2
    assert "give --out FILE for --at end" in capsys.readouterr().err
    assert (run / "report.html").read_bytes() == before


def test_a_run_that_has_not_ended_has_a_page_that_says_so(run, capsys):
    for name in ("model.safetensors", "summary.json", "report.html"):
        (run / name).unlink()
    assert bimt("report", run) == 0
    assert "interrupted at step 40 of 40" in (run / "report.html").read_text()


def test_what_report_and_view_refuse(run, tmp_path, capsys, opened):
    for command in ("report", "view"):
        assert bimt(command, tmp_path) == 2
        said = capsys.readouterr().err
        assert said == (
            f"bimt: {tmp_path} is not a run directory: it has no config.yaml, its folders have; "
            f"'bimt list {tmp_path}' shows them\n"
        )
    assert bimt("report", run, "--out", tmp_path / "no" / "p.html") == 2
    assert "No such file or directory" in capsys.readouterr().err
    assert bimt("report", run, "--out", tmp_path) == 2
    assert "it is a directory, only a plain file is replaced" in capsys.readouterr().err
    assert bimt("report", run, "--device", "gpu") == 2
    assert opened == []


def test_the_page_of_a_zip_file(run, tmp_path, capsys, opened):
    shared = tmp_path / "s.zip"
    assert bimt("share", run, "--out", shared) == 0
    assert bimt("report", shared) == 2
    assert f"{shared} is a file: give --out FILE" in capsys.readouterr().err
    assert bimt("view", shared) == 2
    assert f"'bimt report {shared} --out FILE' writes its page" in capsys.readouterr().err
    assert bimt("report", shared, "--out", tmp_path / "p.html") == 0 and (tmp_path / "p.html").is_file()


def test_view_opens_the_page_that_is_there(run, capsys, opened):
    made = (run / "report.html").stat()
    assert bimt("view", run) == 0
    assert opened == [(run / "report.html").as_uri()]
    assert lines(capsys) == [f"page: {run / 'report.html'}"]
    assert (run / "report.html").stat().st_mtime_ns == made.st_mtime_ns and opened[0].startswith("file:///")


@pytest.mark.parametrize("missing", [True, False])
def test_view_writes_a_page_that_is_missing_or_older_than_the_run(run, opened, missing):
    page = run / "report.html"
    page.unlink() if missing else page.write_text("old")
    os.utime(run / "metrics.jsonl", ns=(young := page.stat().st_mtime_ns + 10**6 if not missing else 1, young))
    assert bimt("view", run) == 0
    assert "<!doctype html>" in page.read_text() and len(opened) == 1


def test_view_without_a_browser_says_where_the_page_is(run, capsys, monkeypatch):
    def no_browser(address):
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "open", no_browser)
    assert bimt("view", run) == 0
    assert lines(capsys) == [f"page: {run / 'report.html'}"]


def test_view_of_a_model_of_one_s_own(tmp_path, capsys, opened):
    x, out = torch.rand(40, 2), tmp_path / "own"
    bimt_tf.train(MLP([2, 3, 1]), (x, x[:, :1]), steps=10, batch_size=0, out=out, progress=False)
    assert bimt("view", out) == 0 and len(opened) == 1
    young = (out / "report.html").stat().st_mtime_ns + 10**9
    os.utime(out / "summary.json", ns=(young, young))
    assert bimt("view", out) == 0 and len(opened) == 2
    assert capsys.readouterr().err.startswith("note: the page is older than the run: ")
    (out / "report.html").unlink()
    assert bimt("view", out) == 2 and len(opened) == 2
