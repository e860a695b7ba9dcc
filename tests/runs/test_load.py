"""Opening runs: finished, interrupted, of version 0.1, of a later format; nothing on disk changes."""

from __future__ import annotations

import hashlib
import json
import os

import networkx as nx
import pytest
import torch
import yaml
from safetensors.torch import save_file

import bimt_tf
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.runs.directory import FORMAT
from bimt_tf.runs.execute import resume_run
from bimt_tf.runs.load import load_run, load_runs


def content(folder):
    """Name -> digest of every file, and when it was written."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_finished_run_is_opened_and_asked_and_left_alone(whole_run, kind, tmp_path):
    before = content(whole_run)
    run = load_run(kind(whole_run))
    assert run.state == "finished" and run.path == whole_run and run.step == 40
    assert run.config.task == run.task.name == run.summary["task"] == "in-context"
    assert run.evaluate()["loss"] == pytest.approx(run.summary["test_loss"], rel=1e-6)
    assert run.evaluate("held-out") == run.evaluate("test") != run.evaluate("train")
    assert run.active_weights == run.summary["active_weights"]
    assert [record["step"] for record in run.metrics] == [10, 20, 30, 40]
    assert run.modularity() == pytest.approx(run.summary["modularity_shared"])
    assert run.modularity("unrolled") == pytest.approx(run.summary["modularity_unrolled"])
    assert run.graph().number_of_edges() == run.summary["nonzero_weights"]
    assert run.bimt.model is run.model and not run.model.training
    assert run.probe(target="w").as_dict() == run.probe(position=1).as_dict() == run.probes[0]
    assert [one.position for one in run.probe_tokens()] == [0, 1, 2]
    assert len(run.ablate()) == 8 and run.ablate(neurons=[1, 2])[0].neuron == 1
    assert len({point.active_weights for point in run.prune()}) > 3
    run.export(tmp_path / "g.graphml")
    assert nx.read_graphml(tmp_path / "g.graphml").number_of_edges() == run.summary["nonzero_weights"]
    assert content(whole_run) == before


def test_one_probe_needs_a_token_where_the_task_does_not_say_one(whole_run):
    run = load_run(whole_run)
    other = "blocks.0.hook_resid_pre"
    with pytest.raises(InputError, match=f"{other} has tokens: give position, one of 0, 1, 2, or ask probe_tokens"):
        run.probe(other, target="w")
    assert run.probe(other, position=2, target="x").position == 2
    assert [one.hook for one in run.probe_tokens(other)] == [other] * 3
    with pytest.raises(InputError, match="unknown"):
        run.probe("blocks.0.hook_resid_pro")


def test_the_examples_are_those_of_the_run(whole_run):
    run = load_run(whole_run)
    held = run.examples("held-out", n=7)
    assert held.inputs.shape == (7, 3, 2) and set(held.quantities) == {"w", "x", "x1", "y", "y1"}
    assert torch.allclose(held.quantities["y"], held.quantities["w"] * held.quantities["x"])
    assert torch.equal(held.targets[:, -1], held.quantities["y"])
    assert len(run.examples("train").inputs) == 160 and len(run.examples().inputs) == 40
    for wrong in (0, 41, True, 2.5):
        with pytest.raises(InputError, match="n must be a whole number from 1 to 40"):
            run.examples(n=wrong)
    with pytest.raises(InputError, match="did you mean 'train'"):
        run.examples("trian")


def test_no_example_is_drawn_before_it_is_asked_for(whole_run, monkeypatch):
    import bimt_tf.tasks.in_context

    def drawn(self, *_):
        raise AssertionError("data")

    monkeypatch.setattr(bimt_tf.tasks.in_context.InContextTask, "data", drawn)
    run = load_run(whole_run)
    assert run.summary and run.metrics and repr(run) and run.modularity() > 0
    with pytest.raises(AssertionError, match="data"):
        run.evaluate()


def test_the_figures_are_given_not_written(whole_run):
    run, before = load_run(whole_run), content(whole_run)
    for name in ("network", "curves", "prediction", "best_pair"):
        assert run.figure(name).axes
    with pytest.raises(InputError, match="predicts numbers: draw 'prediction'"):
        run.figure("confusion")
    with pytest.raises(InputError, match="did you mean 'curves'"):
        run.figure("curve")
    assert content(whole_run) == before


def test_what_a_reader_is_told(whole_run):
    run = load_run(whole_run)
    told = repr(run)
    for part in ("in-context", "bimt", "seed 0", "steps 40", "finished", "test loss", "active weights", "Q 0."):
        assert part in told
    assert "<th>state</th><td>finished</td>" in run._repr_html_()


def test_markup_in_a_name_is_escaped(whole_run, tmp_path):
    (tmp_path / "<b>run").symlink_to(whole_run)
    assert "&lt;b&gt;run" in load_run(tmp_path / "<b>run")._repr_html_()


def test_an_interrupted_run_gives_its_last_checkpoint(half_run, whole_run):
    before = content(half_run)
    run = load_run(half_run)
    assert run.state == "interrupted at step 30 of 40" and run.step == 30
    assert run.summary == {} and run.probes == []
    assert "interrupted" in repr(run) and "test loss" in repr(run)
    assert run.evaluate()["loss"] != load_run(whole_run).evaluate()["loss"]
    assert run.figure("network").axes and len(run.probe_tokens()) == 3 and run.figure("best_pair").axes
    assert content(half_run) == before


def test_a_run_without_checkpoint_gives_the_first_weights(half_run):
    for path in (half_run / "checkpoints").glob("step_*"):
        path.unlink()
    (half_run / "metrics.jsonl").unlink()
    run = load_run(half_run)
    assert run.state == "no checkpoint yet" and run.step == 0 and "no checkpoint yet" in repr(run)
    with pytest.raises(InputError, match="no step is logged yet"):
        run.figure("curves")


def test_a_trained_run_that_was_not_measured_says_so(run):
    (run / "summary.json").unlink()
    assert load_run(run).state == "trained, not measured yet"


def test_a_link_to_a_run_is_the_run(whole_run, tmp_path):
    (tmp_path / "link").symlink_to(whole_run)
    assert load_run(tmp_path / "link").state == "finished"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere", "not a run directory: there is no such folder; 'bimt list' shows the runs"),
        ("nul\0", "NUL character"),
        ("n" * 300, "File name too long"),
        (7, "takes the path of a run directory, found a int"),
    ],
)
def test_what_is_no_run(tmp_path, path, says):
    with pytest.raises(InputError, match=says):
        load_run(tmp_path / path if isinstance(path, str) else path)


def test_a_device_that_is_not_there(whole_run):
    with pytest.raises(InputError, match="device 'cuda:77' is not available"):
        load_run(whole_run, device="cuda:77")


def test_a_model_of_ones_own_takes_the_weights(whole_run):
    other = bimt_tf.RegressionTransformer(d_in=2, d_out=2, d_model=8, n_layers=1, n_heads=2, n_ctx=3, seed=5)
    run = load_run(whole_run, model=other)
    assert run.model is other
    assert run.evaluate()["loss"] == pytest.approx(run.summary["test_loss"], rel=1e-6)
    wrong = bimt_tf.RegressionTransformer(d_in=2, d_out=2, d_model=6, n_layers=1, n_heads=2, n_ctx=3)
    with pytest.raises(InputError, match=r"of another model: embed.W_E is \[2, 8\] in it, \[2, 6\]"):
        load_run(whole_run, model=wrong)


def version_0_1(path):
    """A run directory as version 0.1 left it: no run.json, ``unlocal`` in its config, probes in its summary."""
    path.mkdir()
    (path / "figures").mkdir()
    (path / ".lock").touch()
    training = {
        "steps": 60, "batch_size": 0, "lr": 0.002, "weight_decay": 0.0, "lam": [[0.0, 0.001], [0.25, 0.01]],
        "reduction": "sum", "penalty": "subgradient", "norms": "as-is", "swap_every": 200, "swap_method": "assignment",
        "top_k": 30, "bias_free": 0.0, "fixed": [], "finish_lr": 0.004, "finish": 0.0, "polish": 0.0,
        "polish_pull": 1e-06, "cut": 0.01, "active": 0.01, "dtype": "float32", "device": "cpu", "compile": "no",
        "threads": 1, "log_every": 200, "checkpoint_every": 2000,
    }  # fmt: skip
    config = {
        "task": "two-moon", "preset": "best", "method": "bimt", "seed": 0,
        "data": {"samples": 200, "train_share": 0.5, "noise": 0.1}, "model": {"hidden": [4, 3], "act_fn": "silu"},
        "geometry": {"width": 2.0, "layer_gap": 0.1, "norm": "l1", "shapes": {}, "unlocal": ["output"]},
        "training": training,
    }  # fmt: skip
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    model = MLP([2, 4, 3, 2], act_fn="silu", seed=3)
    save_file({name: p.detach() for name, p in model.named_parameters()}, path / "model.safetensors")
    slots = {"input": [0, 1], "hidden0": [2, 0, 1, 3], "hidden1": [0, 2, 1], "output": [1, 0]}
    (path / "layout.json").write_text(json.dumps({"slots": slots}))
    record = {"step": 60, "loss": 0.5, "test_loss": 0.4, "cost": 3.2, "lam": 0.01, "lr": 0.002, "active": 26}
    (path / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    summary = {
        "task": "two-moon", "preset": "best", "method": "bimt", "seed": 0, "steps": 60, "test_loss": 0.4,
        "test_accuracy": 0.5, "train_loss": 0.4, "train_accuracy": 0.5, "cost": 3.2, "active_weights": 26,
        "nonzero_weights": 26, "total_weights": 26, "severed": False, "modularity_shared": 0.15,
        "modularity_unrolled": 0.15, "wiring_length": 0.55, "wiring_length_total": 2.0, "best_pair": None,
        "best_pair_r2": None, "probes": [{"hook": "h", "position": None}], "notes": [], "seconds": 0.1,
        "versions": {"bimt_tf": "0.1.0"},
    }  # fmt: skip
    (path / "summary.json").write_text(json.dumps(summary, indent=2))
    return path, model


def test_a_run_of_version_0_1_is_opened(tmp_path):
    path, model = version_0_1(tmp_path / "old")
    run = load_run(path)
    assert run.state == "finished" and run.config.geometry.distance_free == ("output",)
    assert run.bimt.layout.slots["hidden0"].tolist() == [2, 0, 1, 3]
    inputs = run.examples(n=5).inputs
    assert torch.equal(run.model(inputs), model(inputs))
    assert run.probes == [{"hook": "h", "position": None}]
    assert run.figure("confusion").axes and run.figure("network").axes
    (row,) = load_runs(tmp_path).to_dict("records")
    assert row["state"] == "finished" and row["loss"] == 0.4 and row["q"] == 0.15
    assert resume_run(path, draw=False)["seconds"] == 0.1  # measured again, not trained again
    assert torch.equal(load_run(path).model(inputs), model(inputs))


def test_a_later_format_is_refused_in_one_line(run):
    (run / "run.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(InputError, match=f"of format {FORMAT + 1}, bimt_tf .* reads formats up to {FORMAT}: install"):
        load_run(run)


def test_a_table_of_runs(whole_run, half_run, monkeypatch):
    table = load_runs(half_run.parent)
    assert list(table["state"]) == ["interrupted at step 30 of 40"] and list(table["steps"]) == [40]
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pandas" else there(name))
    (row,) = load_runs(str(half_run.parent))
    assert row["task"] == "in-context" and row["weights"] > 0 and row["path"] == os.fspath(half_run)


def test_the_top_of_the_package_opens_runs():
    assert bimt_tf.load_run is load_run and bimt_tf.FinishedRun.__name__ == "FinishedRun"
