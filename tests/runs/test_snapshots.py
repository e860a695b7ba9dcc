"""Snapshots as files of a run: written while it goes on, complete after kill -9, exact, small, and read lazily."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bimt_tf.errors import InputError
from bimt_tf.runs import snapshots as files_of
from bimt_tf.runs.execute import resume_run, train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.snapshots import SnapshotFiles
from bimt_tf.training.setup import set_up
from bimt_tf.training.snapshots import TrainingSnapshot, snapshot_steps

ROOT = Path(files_of.__file__).parent.parent.parent


@pytest.fixture(scope="module")
def eliminated(tmp_path_factory, tiny_config):
    """A run with snapshots and an elimination; it must not be changed."""
    path = tmp_path_factory.mktemp("eliminated") / "run"
    train_run(tiny_config(eliminate=True, swap_every=4), path, draw=False)
    return path


def contents(path):
    return {one.name: one.read_bytes() for one in (path / "snapshots").iterdir()}


def test_they_are_there_and_the_last_is_the_trained_network(eliminated):
    run = load_run(eliminated, at="trained")
    assert [one.step for one in run.snapshots] == sorted(snapshot_steps(run.config))
    assert [run.snapshots[i].phase for i in (0, 1, -1)] == ["start", "pressed", "finish"]
    last = run.snapshots[-1]
    state = last.model().state_dict()
    assert all(torch.equal(values, state[name]) for name, values in run.model.state_dict().items())
    assert last.bimt().layout.slots.keys() == run.bimt.layout.slots.keys()
    assert all(torch.equal(own, run.bimt.layout.slots[name]) for name, own in last.bimt().layout.slots.items())
    assert last.loss == pytest.approx(run.evaluate()["loss"], rel=1e-5)


def test_the_first_is_the_network_before_training(eliminated):
    run = load_run(eliminated)
    state = run.snapshots[0].model().state_dict()
    fresh = set_up(run.config).model.state_dict()
    assert all(torch.equal(fresh[name], state[name]) for name in fresh)


def test_behind_training_come_points_of_the_elimination(eliminated):
    run = load_run(eliminated)
    points = [one for one in run.snapshots if one.phase == "eliminate"]
    assert 2 <= len(points) <= files_of_points() and {one.step for one in points} == {40}
    state = points[-1].model().state_dict()
    assert all(torch.equal(values, state[name]) for name, values in run.model.state_dict().items())
    losses = {row["test_loss"] for row in run.elimination}
    assert all(one.loss in losses for one in points)
    counts = [one.scene().active for one in points]
    assert counts == sorted(counts, reverse=True) and counts[-1] == run.active_weights
    assert not (eliminated / "snapshots" / "eliminate").exists()  # nothing is stored twice


def files_of_points():
    from bimt_tf.runs.evolution import MOST_POINTS

    return MOST_POINTS


def test_a_model_of_a_snapshot_is_a_copy(eliminated):
    run = load_run(eliminated)
    before = {name: values.clone() for name, values in run.model.state_dict().items()}
    layout = run.bimt.layout.slots
    model = run.snapshots[3].model()
    with torch.no_grad():
        for values in model.parameters():
            values.zero_()
    assert all(torch.equal(values, before[name]) for name, values in run.model.state_dict().items())
    assert all(torch.equal(own, layout[name]) for name, own in run.bimt.layout.slots.items())
    assert any(values.any() for values in run.snapshots[3].model().parameters())


def test_they_are_off_by_option(tmp_path, tiny_config):
    train_run(tiny_config(snapshots=False), tmp_path / "run", draw=False)
    assert not (tmp_path / "run" / "snapshots").exists() and load_run(tmp_path / "run").snapshots == []


def test_overwrite_removes_those_of_another_run(tmp_path, tiny_config):
    train_run(tiny_config(), tmp_path / "run", draw=False)
    train_run(tiny_config(steps=20), tmp_path / "run", overwrite=True, draw=False)
    assert [one.step for one in load_run(tmp_path / "run").snapshots][-1] == 20
    train_run(tiny_config(steps=20, snapshots=False), tmp_path / "run", overwrite=True, draw=False)
    assert not (tmp_path / "run" / "snapshots").exists()


def test_a_resumed_run_has_the_same_snapshots(whole_run, half_run):
    wanted = contents(whole_run)
    resume_run(half_run, draw=False)
    assert contents(half_run) == wanted


def test_killed_and_resumed_it_has_the_same_snapshots(tmp_path, tiny_config):
    """kill -9 in the middle; some are then newer than the last checkpoint, and one is damaged."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "from conftest import tiny; from bimt_tf.runs.execute import train_run\n"
        "from bimt_tf.runs.snapshots import SnapshotFiles as Files\n"
        "save = Files.save\n"
        "def dying(self, one):\n"
        "    save(self, one)\n"
        "    if one.step == 28: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Files.save = dying\n"
        "train_run(tiny(swap_every=4, polish=0.2), Path(sys.argv[3]), draw=False)\n"
    )
    words = [sys.executable, "-c", code, str(ROOT), str(Path(__file__).parent), str(tmp_path / "run")]
    assert subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == -signal.SIGKILL
    (tmp_path / "run" / "snapshots" / "step_00000028.safetensors").write_bytes(b"half")
    assert SnapshotFiles(tmp_path / "run" / "snapshots", tmp_path / "run").steps()[-1] == 28
    resume_run(tmp_path / "run", draw=False)
    train_run(tiny_config(swap_every=4, polish=0.2), tmp_path / "whole", draw=False)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@pytest.mark.parametrize("how", ["emptied", "truncated", "a directory", "another file", "NaN", "another model"])
def test_a_damaged_file_is_named(tmp_path, eliminated, how):
    path = shutil.copytree(eliminated, tmp_path / "run")
    file = sorted((path / "snapshots").iterdir())[4]
    whole = file.read_bytes()
    files = SnapshotFiles(path / "snapshots", path)
    step = files.steps()[4]
    if how == "a directory":
        file.unlink()
        file.mkdir()
    elif how in ("NaN", "another model"):
        weights, layout = files.read(step)
        name = next(iter(weights))
        weights[name] = weights[name] * float("nan") if how == "NaN" else weights[name][:1]
        slots = {one.removeprefix("slots."): own for one, own in layout.items()}
        files.save(TrainingSnapshot(step, 1.0, weights, slots))
    else:
        file.write_bytes({"emptied": b"", "truncated": whole[: len(whole) // 2], "another file": b"{}" * 99}[how])
    with pytest.raises(InputError) as caught:
        load_run(path).snapshots[4].scene()
    said = str(caught.value)
    assert file.name in said and "\n" not in said


def test_numbers_come_back_and_a_sparse_network_is_small(tmp_path):
    generator = torch.Generator().manual_seed(0)
    files = SnapshotFiles(tmp_path / "snapshots", tmp_path)
    sizes = {}
    for step, share in enumerate((1.0, 0.5, 0.3, 0.02)):
        dense = torch.randn(40, 50, generator=generator)
        dense[torch.rand(40, 50, generator=generator) > share] = 0
        weights = {"a": dense, "b": torch.zeros(7), "c": torch.arange(5.0).double()}
        files.save(TrainingSnapshot(step, 0.25, weights, {"p": torch.tensor([2, 0, 1])}))
        read, layout = files.read(step)
        assert all(torch.equal(values.float(), read[name]) for name, values in weights.items())
        assert layout["slots.p"].tolist() == [2, 0, 1] and layout["slots.p"].dtype == torch.int64
        count = sum(int(values.count_nonzero()) for values in weights.values())
        assert files.head(step) == (step, 0.25, count, count)
        sizes[share] = files.file(step).stat().st_size
    assert sizes[0.02] < 1_500 < sizes[0.3] < sizes[0.5] + 1 <= sizes[1.0] + 1 < 10_000


def test_of_a_large_network_the_strongest_are_kept(tmp_path, eliminated, monkeypatch):
    """Brute force: a parameter's share is its largest numbers; what is left can be drawn, not computed with."""
    monkeypatch.setattr(files_of, "MOST_NUMBERS", 300)
    monkeypatch.setattr(files_of, "FEW", 10)
    path = shutil.copytree(eliminated, tmp_path / "run")
    run = load_run(path)
    weights, layout = run._directory.snapshots.read(0)
    slots = {one.removeprefix("slots."): own for one, own in layout.items()}
    run._directory.snapshots.save(TrainingSnapshot(0, 1.0, weights, slots))
    thinned, _ = run._directory.snapshots.read(0)
    total = sum(values.numel() for values in weights.values())
    for name, values in weights.items():
        most = max(10, -(-300 * values.numel() // total))
        ordered = sorted(values.flatten().abs().tolist(), reverse=True)[:most]
        assert sorted(thinned[name][thinned[name] != 0].abs().tolist(), reverse=True) == [one for one in ordered if one]
    head = run._directory.snapshots.head(0)
    assert head.kept < head.of <= total and run.snapshots[0].scene().active > 0
    with pytest.raises(InputError, match="strongest of .* enough to draw, not to compute with"):
        run.snapshots[0].model()
