"""What a run can do without: a snapshot that cannot be written or read, a damaged line of its log."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page.content import page_of
from bimt_tf.runs.page_file import write_page
from bimt_tf.runs.snapshots import SnapshotFiles
from bimt_tf.runs.stopping import RunFailed
from bimt_tf.runs.watcher import SilentWatcher


class Told(SilentWatcher):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_config):
    path = tmp_path_factory.mktemp("made") / "run"
    train_run(tiny_config(), path, draw=False)
    return path


@pytest.fixture
def copied(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def test_a_snapshot_that_cannot_be_written_does_not_end_the_run(made, tmp_path, tiny_config, monkeypatch):
    save, tried = SnapshotFiles.save, []

    def full(self, snapshot):
        tried.append(snapshot.step)
        if len(tried) == 2:
            raise CannotWrite(f"cannot write {self.file(snapshot.step)}: No space left on device")
        save(self, snapshot)

    monkeypatch.setattr(SnapshotFiles, "save", full)
    train_run(tiny_config(), tmp_path / "run", draw=False, watcher=(told := Told()))
    (note,) = told.notes
    assert note.endswith(f"No space left on device; the run goes on without the snapshot of step {tried[1]:,}")
    left = load_run(tmp_path / "run")
    assert [one.step for one in left.snapshots] == [step for step in tried if step != tried[1]]
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert weights == (made / "model.safetensors").read_bytes()


def test_a_folder_of_snapshots_that_cannot_be_made_does_not_either(tmp_path, tiny_config):
    """A file stands where the folder should."""
    told = Told()
    real = told.start

    def start(config, step, note):
        real(config, step, note)
        if not (tmp_path / "run" / "snapshots").exists():
            (tmp_path / "run" / "snapshots").write_text("in the way")

    told.start = start
    train_run(tiny_config(), tmp_path / "run", draw=False, watcher=told)
    assert told.notes and all("snapshots" in note for note in told.notes)
    assert load_run(tmp_path / "run").snapshots == []


def test_a_checkpoint_that_cannot_be_written_still_ends_it(tmp_path, tiny_config, monkeypatch):
    def full(*_):
        raise CannotWrite("cannot write it: No space left on device")

    monkeypatch.setattr("bimt_tf.runs.directory.RunDirectory.save_checkpoint", full)
    with pytest.raises(RunFailed, match="No space left on device"):
        train_run(tiny_config(), tmp_path / "run", draw=False)


@pytest.mark.parametrize("how", ["cut short", "other bytes", "not finite", "of another model"])
def test_a_damaged_snapshot_is_left_out_of_the_page(copied, how):
    from safetensors.torch import load_file, save_file

    whole = page_of(load_run(copied))
    file = sorted((copied / "snapshots").iterdir())[2]
    if how == "cut short":
        file.write_bytes(file.read_bytes()[:-40])
    elif how == "other bytes":
        file.write_bytes(os.urandom(500))
    else:
        tensors = load_file(file)
        head = json.loads(file.read_bytes()[8 : 8 + int.from_bytes(file.read_bytes()[:8], "little")])["__metadata__"]
        name = next(name for name in tensors if name.startswith("dense."))
        values = tensors.pop(name)
        tensors |= {name: values * float("nan")} if how == "not finite" else {"dense.nothing": values}
        save_file(tensors, file, metadata=head)
    run = load_run(copied)
    part = page_of(run)
    assert len(part.evolution["frames"]) == len(whole.evolution["frames"]) - 1
    (line,) = part.damaged
    assert line.startswith("a snapshot is left out: ") and file.name in line and "\n" not in line
    assert write_page(run, copied / "report.html") > 100_000 and file.name in (copied / "report.html").read_text()
    if how in ("cut short", "other bytes"):
        with pytest.raises(InputError, match=file.name):
            load_run(copied).snapshots  # noqa: B018


def test_a_damaged_line_of_the_log_is_left_out_of_the_page(copied):
    log = copied / "metrics.jsonl"
    lines = log.read_text().splitlines()
    wanted = [json.loads(line)["step"] for line in lines]
    log.write_text("\n".join([lines[0], "{not JSON", *lines[2:]]) + "\n")
    run = load_run(copied)
    part = page_of(run)
    assert part.run["records"]["step"] == [wanted[0], *wanted[2:]]
    assert part.damaged == ["line 2 of metrics.jsonl is damaged and left out"]
    with pytest.raises(InputError, match="line 2 is no object with a step"):
        run.metrics  # noqa: B018
    log.write_bytes(b"\xff\xfe")
    (line,) = page_of(load_run(copied)).damaged
    assert "metrics.jsonl is damaged: it is not UTF-8" in line


def test_a_whole_run_has_nothing_to_say(made):
    run = load_run(made)
    assert run.readable.damaged == [] and run.readable.metrics == run.metrics
    assert [one.step for one in run.readable.snapshots] == [one.step for one in run.snapshots]
