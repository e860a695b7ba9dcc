"""Eliminations of runs: in training, afterwards, in memory; stopped at any round, killed, damaged, opened anywhere."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

import bimt_tf
from bimt_tf.analysis.active import active_weights
from bimt_tf.config.reading import make
from bimt_tf.config.settings import EliminationConfig
from bimt_tf.errors import InputError
from bimt_tf.runs.compare import compare_runs
from bimt_tf.runs.execute import eliminate_run, resume_run, train_run
from bimt_tf.runs.listing import run_rows
from bimt_tf.runs.load import load_run
from bimt_tf.runs.stopping import Interrupted
from bimt_tf.runs.watcher import SilentWatcher
from bimt_tf.training.elimination.rounds import put_

BUDGET = {"max_loss": 0.02}


def config(eliminate=True, seed=0, **elimination):
    """A run of a second that leaves an MLP of about a hundred weights."""
    training = {
        "steps": 300, "batch_size": 0, "log_every": 100, "compile": "no", "eliminate": eliminate, "swap_starts": 2,
        "finish": 0.4, "polish": 0.0, "lam": ((0.0, 0.003),), "penalty": "proximal",
    }  # fmt: skip
    overrides = {"data": {"samples": 160}, "model": {"hidden": [6, 5]}, "training": training}
    return make("symbolic-b", seed=seed, overrides={**overrides, "elimination": elimination or BUDGET})


@pytest.fixture(scope="module")
def eliminated(tmp_path_factory):
    """A run that was eliminated; it must not be changed."""
    path = tmp_path_factory.mktemp("eliminated") / "run"
    train_run(config(), path, draw=False)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same, as it was trained; it must not be changed."""
    path = tmp_path_factory.mktemp("trained") / "run"
    train_run(config(eliminate=False), path, draw=False)
    return path


def states(path):
    """The bytes of every round's weights and layout, but no times."""
    rounds = path / "elimination" / "rounds"
    return {file.name: file.read_bytes() for file in sorted(rounds.glob("*.safetensors"))}


def test_short_wires_are_an_end_that_is_shown(trained):
    short = load_run(trained).eliminate(max_loss=0.02, short_wires=True)
    path, cost = short.outcome.path, short.bimt.cost().item()
    assert short.round_number == len(path) - 1 and path[-1].what == "wires" and path[-1].loss <= 0.02
    put_(short.bimt, path[-2].state)
    assert path[-2].what == "weights" and path[-2].loss < path[-1].loss and cost < 0.9 * short.bimt.cost().item()


def test_training_ends_in_the_elimination(eliminated):
    run = load_run(eliminated)
    summary, path = run.summary, run.elimination
    shown = path[run.round_number]
    assert run.state == "finished" and 0 < run.round_number == summary["elimination"]["shown"] < len(path)
    near = [row for row in path[1:] if row["weights"] <= 2 * path[-1]["weights"] and row["loss"] <= 0.02]
    assert shown["modularity_shared"] == max(row["modularity_shared"] for row in near)
    assert summary["active_weights"] == run.active_weights == shown["weights"] < path[0]["weights"]
    assert summary["trained"]["active_weights"] > summary["active_weights"]
    assert summary["test_loss"] == pytest.approx(shown["test_loss"], rel=1e-6)
    assert (
        path[-1]["loss"] <= BUDGET["max_loss"] and load_run(eliminated, at="end").active_weights == path[-1]["weights"]
    )
    assert summary["elimination"]["max_loss"] == 0.02 and summary["elimination"]["rounds"] == len(path) - 1
    assert summary["elimination"]["seconds"] > 0
    assert run.evaluate()["loss"] == pytest.approx(summary["test_loss"], rel=1e-6)
    assert run.modularity() == pytest.approx(shown["modularity_shared"])


def test_every_point_is_opened(eliminated):
    rows = load_run(eliminated).elimination
    for number, row in enumerate(rows):
        run = load_run(eliminated, at=row["weights"])
        assert run.active_weights == row["weights"] == active_weights(run.bimt, 0.0)
        same = [other for other in rows if other["weights"] == row["weights"]]
        best = min(same, key=lambda one: one["loss"])
        assert run.summary["test_loss"] == best["test_loss"] == pytest.approx(run.evaluate()["loss"], rel=1e-6)
        assert number == row["round"]
    counts = sorted(row["weights"] for row in rows)
    assert load_run(eliminated, at=10**6).active_weights == counts[-1]
    gap = next(count for count, after in zip(counts, counts[1:], strict=False) if after > count + 1)
    assert load_run(eliminated, at=gap + 1).active_weights == gap


def test_runs_are_compared_at_a_point(eliminated, trained):
    shown, before = compare_runs([eliminated, trained]), compare_runs([eliminated, trained], at="trained")
    weights = {
        found.at: next(one.values for one in found.numbers if one.name == "active_weights") for found in (shown, before)
    }
    assert weights["shown"][0] < weights["trained"][0] == weights["trained"][1]
    with pytest.raises(InputError, match="has no elimination"):
        compare_runs([eliminated, trained], at=10**6)


def test_the_trained_network_stays(eliminated, trained):
    run, other = load_run(eliminated, at="trained"), load_run(trained)
    for (name, mine), theirs in zip(run.model.named_parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    assert run.round_number is None and run.summary["test_loss"] == other.summary["test_loss"]
    assert run.summary["active_weights"] == other.summary["active_weights"] == run.active_weights


@pytest.mark.parametrize("wrong", ["trainde", -1, True, 2.5, None])
def test_a_point_that_cannot_be_is_refused(eliminated, wrong):
    with pytest.raises(InputError, match="at must be 'shown', 'end', 'trained' or a number of weights"):
        load_run(eliminated, at=wrong)


def test_too_few_weights_are_refused_with_the_range(eliminated, trained):
    with pytest.raises(InputError, match="no point of at most 1 weights: its .* points have"):
        load_run(eliminated, at=1)
    with pytest.raises(InputError, match="has no elimination: 'bimt eliminate"):
        load_run(trained, at=20)


def test_a_run_is_eliminated_afterwards_to_the_same_bits(trained, eliminated, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    summary = eliminate_run(run, EliminationConfig(**BUDGET), draw=False)
    assert states(run) == states(eliminated)
    assert summary["active_weights"] == load_run(eliminated).active_weights == load_run(run).active_weights
    with pytest.raises(InputError, match="has an elimination already: give --overwrite"):
        eliminate_run(run, EliminationConfig(weights=20), draw=False)
    few = eliminate_run(run, EliminationConfig(weights=20), overwrite=True, draw=False)
    assert few["active_weights"] <= 20 == few["elimination"]["weights"]
    assert load_run(run).round_number == len(load_run(run).elimination) - 1  # a number was asked for: the end


class _Stopper(SilentWatcher):
    """Sends a signal at a round."""

    def __init__(self, at):
        self.at = at

    def round(self, row):
        if row["round"] == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_stopped_at_any_round_it_goes_on_to_the_same_bits(trained, eliminated, tmp_path):
    ends = len(states(eliminated)) - 1
    for at in sorted({0, 1, 2, ends // 2, ends - 1}):
        run = shutil.copytree(trained, tmp_path / f"run{at}")
        with pytest.raises(Interrupted, match="'bimt resume"):
            eliminate_run(run, EliminationConfig(**BUDGET), watcher=_Stopper(at), draw=False)
        assert load_run(run).state == "trained, its elimination has not ended"
        assert load_run(run).active_weights == load_run(trained).active_weights
        resume_run(run, draw=False)
        assert states(run) == states(eliminated), at
        assert load_run(run).state == "finished"


def test_killed_it_goes_on_to_the_same_bits(trained, eliminated, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    program = (
        "import sys; from pathlib import Path; from bimt_tf.runs.execute import *\n"
        "from bimt_tf.config.settings import *\n"
        "eliminate_run(Path(sys.argv[1]), EliminationConfig(max_loss=0.02), draw=False)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program, str(run)])
    deadline = time.monotonic() + 60
    while len(states(run)) < 3 and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    worker.kill()
    worker.wait()
    assert len(states(run)) >= 3
    resume_run(run, draw=False)
    assert states(run) == states(eliminated)


def test_a_line_cut_short_is_made_again(eliminated, tmp_path):
    run = shutil.copytree(eliminated, tmp_path / "run")
    file = run / "elimination" / "rounds.jsonl"
    (run / "elimination" / "result.json").unlink()
    file.write_text(file.read_text()[:-40])
    resume_run(run, draw=False)
    assert states(run) == states(eliminated)
    assert [json.loads(line)["round"] for line in file.read_text().splitlines()] == [*range(len(states(run)))]


@pytest.mark.parametrize("name", ["settings.json", "rounds.jsonl", "rounds/0001.safetensors", "result.json"])
@pytest.mark.parametrize("content", [b"", b"{}\n{}\n{}", b"[1]", b"\xff\xfe", b'{"weights": 3}'])
def test_a_damaged_file_is_named(eliminated, tmp_path, name, content):
    run = shutil.copytree(eliminated, tmp_path / "run")
    (run / "elimination" / name).write_bytes(content)
    try:
        load_run(run, at=load_run(eliminated).elimination[1]["weights"])
        load_run(run)
        resume_run(run, draw=False)
    except InputError as error:
        assert str(run / "elimination") in str(error) and "bimt eliminate" in str(error)


def test_a_new_result_in_memory_leaves_the_run(trained):
    run = load_run(trained)
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    found = run.eliminate(max_loss=0.02)
    assert all(torch.equal(p, before[name]) for name, p in run.model.named_parameters())
    assert found.active_weights < run.active_weights and found.eliminated and not run.eliminated
    assert found.outcome.path[found.round_number].weights == found.active_weights
    assert [row["weights"] for row in found.elimination] == [one.weights for one in found.outcome.path]
    assert found.modularity() > 0 and found.figure("network") and found.figure("elimination")
    assert found.evaluate("train")["loss"] == pytest.approx(
        found.elimination[found.round_number]["loss"], rel=0.5
    )  # of four fifths
    assert "test loss" not in repr(found) and "eliminated in memory" in repr(found)
    assert not (trained / "elimination").exists()
    with pytest.raises(InputError, match="give one budget of an elimination, found max_loss and weights"):
        run.eliminate(max_loss=1.0, weights=3)


def test_what_is_listed_and_drawn(eliminated, tmp_path):
    run = load_run(eliminated)
    row = run_rows(eliminated)[0]
    assert row.weights == run.active_weights and row.state == "finished"
    assert run.figure("elimination").axes[0].get_ylabel() == "loss"
    drawn = shutil.copytree(eliminated, tmp_path / "run")
    resume_run(drawn)
    assert {"network.png", "elimination.png", "elimination.pdf"} <= {f.name for f in (drawn / "figures").iterdir()}


def test_a_run_that_is_not_trained_is_refused(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match="is not trained to its end: 'bimt resume"):
        eliminate_run(run, EliminationConfig(**BUDGET))


def test_validation_examples_are_split_off_the_training_ones():
    assert bimt_tf.load_run is load_run  # the public name is the one that is tested above
    wanted = config(eliminate=False)
    apart = dataclasses.replace(wanted, training=dataclasses.replace(wanted.training, validation_share=0.25))
    from bimt_tf.training.setup import set_up

    whole, split = set_up(wanted), set_up(apart)
    rest = split.validation.inputs
    assert torch.equal(torch.cat([split.data.train.inputs, rest]), whole.data.train.inputs) and len(rest)
    assert torch.equal(split.data.test.inputs, whole.data.test.inputs) and whole.validation is None
    with pytest.raises(InputError, match="leaves no example on one side"):
        set_up(dataclasses.replace(apart, training=dataclasses.replace(apart.training, validation_share=0.001)))


def test_a_model_of_ones_own_is_eliminated_too(tmp_path):
    from bimt_tf import MLP, train

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 2, generator=generator)
    settings = {"steps": 200, "batch_size": 0, "eliminate": True, "loss_factor": 1.2, "progress": False, "lam": 1e-3}
    in_memory = train(MLP([2, 8, 1], "silu", 0), (x, x[:, :1] * 2), **settings)
    assert in_memory.active_weights in [row["weights"] for row in in_memory.elimination[1:]]
    assert in_memory.active_weights < in_memory.total_weights
    on_disk = train(MLP([2, 8, 1], "silu", 0), (x, x[:, :1] * 2), out=tmp_path / "run", **settings)
    assert on_disk.active_weights == in_memory.active_weights
    for mine, theirs in zip(in_memory.model.parameters(), on_disk.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    opened = load_run(tmp_path / "run", model=MLP([2, 8, 1], "silu", 0))
    assert opened.active_weights == on_disk.active_weights


def test_a_summary_of_an_elimination_that_is_gone_does_not_pass_for_the_trained_network(eliminated, tmp_path):
    run = shutil.copytree(eliminated, tmp_path / "run")
    with pytest.raises(Interrupted):
        eliminate_run(run, EliminationConfig(weights=20), overwrite=True, watcher=_Stopper(1), draw=False)
    opened = load_run(run)
    assert opened.round_number is None and opened.summary["active_weights"] == opened.active_weights
    assert opened.summary["test_loss"] == load_run(eliminated, at="trained").summary["test_loss"]
