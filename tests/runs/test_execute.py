"""Training into a directory and going on, where things go wrong: full disks, signals, edited configs, two processes."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest
import torch
import yaml

import bimt_tf.runs.conclude as conclude
import bimt_tf.runs.execute as execute
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.runs import checkpoints
from bimt_tf.runs.execute import free_directory, resume_run, train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.lock import InUse, lock
from bimt_tf.runs.stopping import Interrupted, RunFailed


def result(path):
    return [(path / name).read_bytes() for name in ("model.safetensors", "layout.json")]


def test_what_a_run_leaves(whole_run):
    names = {path.name for path in whole_run.iterdir()}
    assert names == {
        ".lock", ".lock.answers", "config.yaml", "run.json", "metrics.jsonl", "checkpoints", "model.safetensors",
        "layout.json", "summary.json", "probes.json", "figures", "report.html", "snapshots",
    }  # fmt: skip
    assert len((whole_run / "summary.json").read_text().splitlines()) <= 45
    assert len(json.loads((whole_run / "probes.json").read_text())["probes"]) == 2
    assert json.loads((whole_run / "run.json").read_text())["format"] == 2
    assert not list(whole_run.rglob("*.tmp"))
    assert (whole_run / "checkpoints" / "config.yaml").read_bytes() == (whole_run / "config.yaml").read_bytes()


def test_a_used_directory_is_refused_and_overwritten_when_asked(run, tiny_config):
    (run / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty: give --overwrite"):
        train_run(tiny_config(steps=20), run)
    assert load_run(run).step == 40
    train_run(tiny_config(steps=20), run, overwrite=True, draw=False)
    assert load_run(run).step == 20 and (run / "notes.txt").read_text() == "mine" and not (run / "figures").exists()


def test_the_directory_may_be_a_link_and_a_string(tmp_path, tiny_config):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    train_run(tiny_config(steps=10), str(tmp_path / "link"), draw=False)
    assert load_run(tmp_path / "disk").state == "finished" and (tmp_path / "link").is_symlink()


def test_a_free_directory_is_found_beside_files(tmp_path, tiny_config):
    (tmp_path / "in-context-bimt-seed0").write_text("a file")
    (tmp_path / "in-context-bimt-seed0-2").mkdir()
    assert free_directory(tiny_config(), tmp_path).name == "in-context-bimt-seed0-2"


def test_a_run_goes_on_bit_for_bit_from_any_checkpoint(half_run, whole_run):
    resume_run(half_run, draw=False)
    assert result(half_run) == result(whole_run)
    assert (half_run / "metrics.jsonl").read_text() == (whole_run / "metrics.jsonl").read_text()


def edit(path, section, **changes):
    file = path / "config.yaml"
    config = yaml.safe_load(file.read_text())
    (config if section is None else config[section]).update(changes)
    file.write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("training", {"steps": 80}), ("training", {"lr": 0.5}), ("training", {"lam": 0.2}), ("training", {"cut": 0.5}),
        ("geometry", {"width": 1.0}), ("model", {"d_mlp": 16}), ("data", {"samples": 100}), (None, {"seed": 4}),
        (None, {"method": "l1"}),
    ],
)  # fmt: skip
def test_an_edited_config_is_refused(half_run, section, change):
    edit(half_run, section, **change)
    name = ".".join([*([section] if section else []), *change])
    with pytest.raises(InputError, match=rf"{name} is .*(resume may change|--init-from)"):
        resume_run(half_run)
    assert not (half_run / "model.safetensors").exists()


def test_what_the_numbers_do_not_hang_on_may_be_edited(half_run, whole_run):
    edit(half_run, "training", log_every=20, checkpoint_every=5)
    resume_run(half_run, draw=False)
    assert result(half_run) == result(whole_run)


def test_a_run_starts_from_the_weights_and_layout_of_another(whole_run, tiny_config, tmp_path):
    config = tiny_config(steps=10, seed=7, lr=1e-12, lam=0.0, swap_every=1000)
    train_run(config, tmp_path / "next", init_from=whole_run, draw=False)
    before, after = load_run(whole_run), load_run(tmp_path / "next")
    for name, weight in after.model.state_dict().items():
        near = (weight - before.model.state_dict()[name]).abs() <= config.training.cut  # what the finish phase cuts
        assert near.all(), name
    with pytest.raises(InputError, match=r"cannot start from .*run.*embed.W_E is \[2, 8\] in it, \[2, 6\] by"):
        train_run(sized(d_model=6), tmp_path / "other", init_from=whole_run)
    assert not (tmp_path / "other").exists()


def sized(**model):
    sizes = {"d_model": 8, "n_layers": 1, "n_heads": 2} | model
    return make("in-context", overrides={"data": {"samples": 200}, "model": sizes, "training": {"steps": 10}})


def test_a_run_without_weights_is_no_start(half_run, tiny_config, tmp_path):
    for path in (half_run / "checkpoints").glob("step_*"):
        path.unlink()
    with pytest.raises(InputError, match="cannot start from .*: it has no checkpoint yet"):
        train_run(tiny_config(), tmp_path / "next", init_from=half_run)


def test_a_checkpoint_whose_writing_fails_leaves_those_before(half_run, monkeypatch):
    last = checkpoints.load(checkpoints.latest(half_run / "checkpoints"))
    before = sorted(os.listdir(half_run / "checkpoints"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit in (100, 5_000, 20_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                with pytest.raises(InputError) as caught:
                    checkpoints.save(half_run / "checkpoints", last._replace(step=35))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert "step_00000035.pt: File too large" in str(caught.value)
            assert sorted(os.listdir(half_run / "checkpoints")) == before
    finally:
        signal.signal(signal.SIGXFSZ, former)


def full_after(files):
    """A full disk: os.fsync works ``files`` times more."""
    real, left = os.fsync, [files]

    def fsync(number):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    return fsync


@pytest.mark.parametrize("files", (1, 3, 6, 9, 12, 16))
def test_a_full_disk_ends_the_run_and_it_goes_on_later(files, tmp_path, whole_run, tiny_config, monkeypatch):
    path = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_after(files))
        with pytest.raises((RunFailed, InputError), match="No space left on device") as caught:
            train_run(tiny_config(), path, draw=True)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not list(path.rglob("*.tmp"))
    newest = checkpoints.latest(path / "checkpoints")
    if isinstance(caught.value, RunFailed):
        assert (str(newest) if newest else "no checkpoint") in str(caught.value) and "bimt resume" in str(caught.value)
    if newest:
        checkpoints.load(newest)
    resume_run(path, draw=False)
    assert result(path) == result(whole_run)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("mount"), reason="needs a file system of its own")
def test_a_small_disk_that_is_full(tmp_path, tiny_config):
    """A real one: 64 kB; where it cannot be mounted, the test above stands for it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(RunFailed, match="No space left on device") as caught:
            train_run(tiny_config(), disk / "run", draw=False)
        assert "\n" not in str(caught.value)
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        resume_run(disk / "run", draw=False)
        assert load_run(disk / "run").state == "finished"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(tmp_path, tiny_config):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        train_run(tiny_config(), tmp_path / "run")


@pytest.mark.parametrize(
    ("signum", "when"), [(signal.SIGINT, "measure"), (signal.SIGTERM, "draw_figure"), (signal.SIGINT, "between")]
)
def test_a_signal_while_measuring_leaves_the_trained_run_whole(
    tmp_path, whole_run, tiny_config, monkeypatch, signum, when
):
    path = tmp_path / "run"

    def struck(*_, **__):
        try:
            os.kill(os.getpid(), signum)
        except Interrupted:
            if when != "between":
                raise  # a library that swallows it only delays it
        return real(*_, **__)

    name = "measure" if when == "between" else when
    real = getattr(conclude, name)
    with monkeypatch.context() as patched:
        patched.setattr(conclude, name, struck)
        with pytest.raises(Interrupted, match="is trained, but not measured; 'bimt resume .*' measures") as caught:
            train_run(tiny_config(), path)
    assert caught.value.signum == signum
    assert result(path) == result(whole_run)
    if when != "between":
        assert load_run(path).state == "trained, not measured yet"
    steps = []
    monkeypatch.setattr(execute.Trainer, "run", lambda *_, **__: steps.append(1))
    summary = resume_run(path)
    assert steps == [] and summary["test_loss"] == load_run(whole_run).summary["test_loss"] and summary["seconds"] > 0
    assert (path / "figures" / "network.png").exists() and load_run(path).state == "finished"


def test_the_second_process_is_refused_and_the_first_unharmed(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with lock(run):
        for begin in (lambda: resume_run(run), lambda: train_run(load_run(run).config, run, overwrite=True)):
            with pytest.raises(InUse, match="is in use by another bimt process"):
                begin()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_killed_at_any_time_the_run_goes_on(tmp_path, whole_run):
    """kill -9 while checkpoints are written one after the other."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from bimt_tf.runs import checkpoints\n"
        "folder = Path(sys.argv[2]); last = checkpoints.load(checkpoints.latest(folder)); print('go', flush=True)\n"
        "for step in range(41, 10**6): checkpoints.save(folder, last._replace(step=step))"
    )
    folder = shutil.copytree(whole_run / "checkpoints", tmp_path / "checkpoints")
    root = os.path.dirname(os.path.dirname(os.path.dirname(execute.__file__)))
    with subprocess.Popen([sys.executable, "-c", code, root, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "go\n"
        begun = checkpoints.latest(folder)
        while checkpoints.latest(folder) == begun:
            assert writer.poll() is None
        writer.kill()
    newest = checkpoints.latest(folder)
    weights = checkpoints.load(newest).model
    last = checkpoints.load(begun).model if begun.exists() else weights
    assert all(torch.equal(weights[name], last[name]) for name in weights)


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_a_logger_without_package_or_key_is_refused_first(name, tmp_path, tiny_config, monkeypatch):
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "nothing"))
    if name == "tensorboard":
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=f"logging to {name} needs (its package|a key)"):
        train_run(tiny_config(), tmp_path / "run", loggers=[name])
    assert not (tmp_path / "run").exists()
