"""A small finished run, made once, and copies of it to do things to."""

from __future__ import annotations

import shutil

import pytest

from bimt_tf.config.reading import make
from bimt_tf.runs.execute import train_run


def tiny(task="in-context", steps=40, seed=0, **training):
    """A config of a run that takes a second."""
    data, model = {"samples": 200}, {"d_model": 8, "n_layers": 1, "n_heads": 2}
    if task != "in-context":
        model = {"hidden": [6, 5]}
    usual = {"eliminate": False, "finish": 0.4, "log_every": 10, "checkpoint_every": 10, "compile": "no"}
    training = {**usual, "steps": steps, "batch_size": 16, **training}
    return make(task, seed=seed, overrides={"data": data, "model": model, "training": training})


@pytest.fixture(scope="session")
def tiny_config():
    return tiny


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory):
    """A finished run; it must not be changed."""
    path = tmp_path_factory.mktemp("whole") / "run"
    train_run(tiny(), path)
    return path


@pytest.fixture
def run(whole_run, tmp_path):
    """A finished run of one's own."""
    return shutil.copytree(whole_run, tmp_path / "run")


@pytest.fixture
def half_run(run):
    """A run that was killed after its checkpoint at step 30."""
    for name in ("model.safetensors", "layout.json", "summary.json", "probes.json"):
        (run / name).unlink()
    shutil.rmtree(run / "figures")
    (run / "checkpoints" / "step_00000040.pt").unlink()
    return run
