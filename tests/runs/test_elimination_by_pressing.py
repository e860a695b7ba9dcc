"""The preset circuit of modular addition, of a small modulus: pressed behind training, stopped and gone on with."""

import os
import shutil
import signal

import pytest

from bimt_tf.config.reading import make
from bimt_tf.runs.execute import resume_run, train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.stopping import Interrupted
from bimt_tf.runs.watcher import SilentWatcher
from bimt_tf.training.elimination import pressing


class _Stopper(SilentWatcher):
    """Sends a signal at the first round."""

    def round(self, row):
        if row["round"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def config(monkeypatch):
    """A run of a second, whose rounds are short."""
    monkeypatch.setattr(pressing, "STEPS", 60)
    monkeypatch.setattr(pressing, "REFIT_STEPS", 60)
    training = {"steps": 300, "batch_size": 0, "log_every": 100, "compile": "no", "swap_starts": 2, "lr": 1e-2}
    overrides = {"data": {"modulus": 5, "train_share": 0.9}, "model": {"d_embed": 6, "hidden": (8, 6)}}
    more = {"training": {**training, "lam": ((0.0, 0.01),)}, "elimination": {"max_loss": 0.3}}
    return make("modular-addition", "circuit", overrides=overrides | more)


def rounds(path):
    """The bytes of every round's weights and layout."""
    return {one.name: one.read_bytes() for one in (path / "elimination" / "rounds").iterdir()}


def test_circuit_presses_behind_training_and_goes_on_to_the_same_bits(config, tmp_path):
    assert config.elimination.press and config.training.eliminate
    whole = train_run(config, tmp_path / "whole", draw=False)
    run = load_run(tmp_path / "whole")
    assert {one["what"] for one in run.elimination} >= {"as given", "press"}
    assert whole["active_weights"] == run.active_weights < whole["trained"]["active_weights"]
    assert whole["elimination"]["press"] and run.elimination[-1]["loss"] <= 0.3
    stopped = tmp_path / "stopped"
    with pytest.raises(Interrupted, match="'bimt resume"):
        train_run(config, stopped, draw=False, watcher=_Stopper())
    assert len(rounds(stopped)) == 2 < len(rounds(tmp_path / "whole"))
    resume_run(shutil.copytree(stopped, tmp_path / "other"), draw=False)
    assert rounds(tmp_path / "other") == rounds(tmp_path / "whole")
    new = run.eliminate(weights=run.active_weights - 10, press=True)
    assert new.active_weights <= run.active_weights - 10
