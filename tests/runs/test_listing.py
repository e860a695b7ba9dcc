"""Many runs at a glance: rows from small files, without torch, and two runs side by side."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from bimt_tf.errors import InputError
from bimt_tf.runs.compare import compare_runs
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.listing import run_rows


def test_rows_of_runs_whole_half_and_damaged(whole_run, half_run, tmp_path):
    folder = tmp_path / "all"
    shutil.copytree(whole_run, folder / "sweep" / "runs" / "a")
    shutil.copytree(half_run, folder / "b")
    shutil.copytree(whole_run, folder / "c")
    (folder / "c" / "summary.json").write_text("{")
    (folder / "d").mkdir()
    (folder / "d" / "config.yaml").write_text("seed: 1")
    (folder / "link").symlink_to(whole_run)
    (folder / "round").symlink_to(folder)
    (folder / "empty").mkdir()
    rows = {row.path.removeprefix(f"{folder}/"): row for row in run_rows(folder)}
    assert set(rows) == {"sweep/runs/a", "b", "c", "d", "link"}
    summary = json.loads((whole_run / "summary.json").read_text())
    one = rows["sweep/runs/a"]
    assert one[1:6] == ("in-context", "bimt", 0, 40, "finished")
    assert one[6:9] == (summary["test_loss"], summary["active_weights"], summary["modularity_shared"])
    assert len(one.when) == len("2026-01-01 00:00:00")
    half = rows["b"]
    assert half.state == "interrupted at step 30 of 40" and half.loss > 0 and half.weights > 0 and half.q is None
    assert "summary.json is damaged" in rows["c"].state and rows["c"].task == "in-context"
    assert "config.yaml must be a YAML mapping with a 'task'" in rows["d"].state and rows["d"].task is None
    assert [row.path for row in run_rows(str(whole_run))] == [str(whole_run)]


def test_a_config_that_was_reformatted_is_read_whole(run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("seed: 0", "seed:    0   # the first"))
    (row,) = run_rows(run)
    assert (row.task, row.seed, row.steps) == ("in-context", 0, 40)


def test_no_folder_no_rows(tmp_path):
    assert run_rows(tmp_path) == []
    with pytest.raises(InputError, match="there is no folder"):
        run_rows(tmp_path / "nowhere")


def test_listing_needs_no_torch():
    code = "import sys, bimt_tf.runs.listing, bimt_tf.runs.compare; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_two_runs_side_by_side(whole_run, tiny_config, tmp_path):
    train_run(tiny_config(steps=20, lam=0.5), tmp_path / "other", draw=False)
    found = compare_runs([whole_run, str(tmp_path / "other")])
    settings = {one.name: one.values for one in found.settings}
    assert settings["training.steps"] == (40, 20) and set(settings) == {"training.steps", "training.lam"}
    numbers = {one.name: one.values for one in found.numbers}
    assert numbers["test_loss"][0] == json.loads((whole_run / "summary.json").read_text())["test_loss"]
    assert found.states == ("finished", "finished") and "steps" not in numbers
    assert json.loads(json.dumps(found.as_dict()))["settings"]["training.steps"] == [40, 20]
    assert len(found.figure().axes) == 2


def test_a_comparison_with_a_run_that_has_not_ended(whole_run, half_run):
    found = compare_runs([whole_run, half_run])
    assert found.settings == () and found.states[1] == "interrupted at step 30 of 40"
    assert all(one.values[1] is None for one in found.numbers)
    assert len(found.figure().axes) == 2
    with pytest.raises(InputError, match="two run directories or more, found 1"):
        compare_runs([whole_run])
