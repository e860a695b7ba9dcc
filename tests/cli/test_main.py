import json
import os
import re
import signal
import subprocess
import sys
import time

import networkx as nx
import pytest
import yaml

from bimt_tf.cli.main import main
from bimt_tf.runs.checkpoints import load
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.load import load_run

TINY = ["--samples", "200", "--d-model", "8", "--n-layers", "1", "--n-heads", "2", "--batch-size", "16"]
TINY += ["--log-every", "10", "--checkpoint-every", "10", "--swap-every", "7", "--lam", "0.3", "--lr", "0.01"]


def bimt(*arguments):
    """Exit code of ``bimt`` run in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def start(*arguments):
    """``bimt`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bimt_tf.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for(condition, process, limit=120):
    """Wait until a condition holds while a process runs."""
    begun = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < limit, "waited too long"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small finished run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert bimt("train", "in-context", *TINY, "--steps", "60", "--out", out) == 0
    return out


def test_a_run_leaves_what_the_docs_say(finished, capsys):
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names == {
        "config.yaml", "run.json", "metrics.jsonl", "checkpoints", "model.safetensors", "layout.json", "summary.json",
        "probes.json", "figures",
    }  # fmt: skip
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert {"network.png", "network.pdf", "curves.png", "prediction.png", "best_pair.png"} <= figures
    summary = json.loads((finished / "summary.json").read_text())
    wanted = "test_loss active_weights total_weights modularity_shared modularity_unrolled"
    assert {*wanted.split(), "wiring_length", "best_pair_r2", "seconds"} <= set(summary)
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert set(lines[0]) == {"step", "loss", "test_loss", "cost", "lam", "lr", "active"}
    trainer = load_run(finished)
    assert trainer.evaluate()["loss"] == pytest.approx(summary["test_loss"], rel=1e-6)
    assert trainer.active_weights == summary["active_weights"]


def test_the_config_runs_again_as_is(finished, tmp_path, capsys):
    assert bimt("train", "in-context", "--config", finished / "config.yaml", "--out", tmp_path / "again") == 0
    assert "results: " in capsys.readouterr().out.splitlines()[-1]
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "config.yaml").read_text() == (finished / "config.yaml").read_text()


def test_options_go_over_the_config(finished, tmp_path):
    out = tmp_path / "other"
    assert (
        bimt("train", "in-context", "--config", finished / "config.yaml", "--steps", 20, "--seed", 3, "--out", out) == 0
    )
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["training"]["steps"] == 20 and config["seed"] == 3 and config["model"]["d_model"] == 8


@pytest.mark.parametrize("odd", [["--cut", "100"], ["--samples", "40"], ["--n-heads", "7", "--d-head", "3"]])
def test_odd_networks_still_get_their_first_look(odd, tmp_path, capsys):
    out = tmp_path / "odd"
    assert bimt("train", "in-context", *TINY, "--steps", 100, *odd, "--out", out) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert (out / "figures" / "network.png").exists()
    shown = capsys.readouterr().out
    if "100" in odd:
        assert summary["severed"] and summary["nonzero_weights"] == 0 and "no path" in shown
    if "40" in odd:
        assert summary["best_pair"] is None and "at least" in " ".join(summary["notes"]) and "note" in shown


@pytest.fixture(scope="module")
def of_each_kind(tmp_path_factory):
    """Short runs of an MLP that regresses, one that classifies, one in three dimensions, and one of tokens."""
    runs = {}
    for task in ("symbolic-a", "two-moon", "digits", "s4"):
        runs[task] = tmp_path_factory.mktemp("runs") / task
        assert bimt("train", task, "--hidden", "12,9", "--steps", "40", "--swap-every", "7", "--out", runs[task]) == 0
    return runs


@pytest.mark.parametrize("task", ["symbolic-a", "two-moon", "digits", "s4"])
def test_first_look_at_each_kind_of_task(of_each_kind, task, capsys):
    run = of_each_kind[task]
    summary = json.loads((run / "summary.json").read_text())
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["hidden"] == [12, 9]
    figures = {path.stem for path in (run / "figures").iterdir()}
    classes = task != "symbolic-a"
    assert figures == {"network", "curves", "confusion" if classes else "prediction"} | (
        {"best_pair"} if task == "s4" else set()
    )
    assert all((f"{part}_accuracy" in summary) == classes for part in ("test", "train"))
    assert {"test_loss", "train_loss"} <= set(summary)
    assert summary["modularity_shared"] == summary["modularity_unrolled"]  # an MLP has no residual stream
    trainer = load_run(run)
    assert trainer.evaluate("train")["loss"] == pytest.approx(summary["train_loss"], rel=1e-6)
    assert bimt("prune", run) == 0 and bimt("export", run) == 0
    assert bimt("ablate", run, "--hook", "layers.0.hook_post") == 0
    assert len(re.findall(r"^│ +\d+ │", capsys.readouterr().out, re.MULTILINE)) >= 12


def test_probing_tasks_with_and_without_probes_of_their_own(of_each_kind, capsys):
    assert bimt("probe", of_each_kind["s4"], "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(result["hook"], result["position"]) for result in found] == [("hook_embed", 0), ("hook_embed", 1)]
    assert bimt("probe", of_each_kind["symbolic-a"], "--hook", "layers.0.hook_post", "--target", "x1") == 0
    capsys.readouterr()
    assert bimt("probe", of_each_kind["symbolic-a"]) == 2
    assert "give --hook (hook_input, layers.0.hook_pre" in capsys.readouterr().err
    assert bimt("ablate", of_each_kind["two-moon"]) == 2
    assert "no probe of its own" in capsys.readouterr().err


def test_probe_prints_tables_and_json(finished, capsys):
    assert bimt("probe", finished, "--target", "w", "--position", "1") == 0
    assert "held-out R2" in capsys.readouterr().out
    assert bimt("probe", finished, "--json") == 0
    assert [result["position"] for result in json.loads(capsys.readouterr().out)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "in-contxt"], "did you mean 'in-context'"),
        (["train", "in-context", "--method", "bmit"], "unknown method 'bmit'"),
        (["train", "in-context", "--preset", "papr"], "did you mean 'paper'"),
        (["train", "in-context", "--stepz", "5"], "--steps"),
        (["train", "in-context", "--steps", "-1"], "steps must be above 0"),
        (["train", "in-context", "--steps", "ten"], "'--steps'"),
        (["train", "in-context", "--swap-every", "0"], "swap_every must be above 0"),
        (["train", "in-context", "--lam", "-1"], "at least 0"),
        (["train", "in-context", "--lam", "nan"], "finite"),
        (["train", "in-context", "--width", "nan"], "width must be finite"),
        (["train", "in-context", "--width", "-2"], "width must be at least 0"),
        (["train", "in-context", "--n-heads", "0"], "n_heads must be a whole number"),
        (["train", "in-context", "--n-heads", "64"], "give d_head"),
        (["train", "in-context", "--act-fn", "gelu"], "unknown act_fn"),
        (["train", "in-context", "--device", "cuda:77"], "not available"),
        (["train", "two-moon", "--hidden", "20,x"], "--hidden takes numbers such as 20,20, found '20,x'"),
        (["train", "two-moon", "--hidden", "20,0"], "sizes[2] must be a whole number of at least 1"),
        (["train", "two-moon", "--d-model", "20"], "two-moon has no option --d-model"),
        (["train", "in-context", "--fixed", "inputs"], "did you mean 'input'"),
        (["train", "in-context", "--shapes", "output"], "POPULATION=SHAPE"),
        (["train", "in-context", "--config", "nowhere.yaml"], "cannot read config"),
        (["train", "in-context", "--log", "tensorbord"], "did you mean 'tensorboard'"),
        (["resume", "nowhere"], "not a run directory"),
        (["probe", "nowhere"], "not a run directory"),
        (["tarin"], "No such command"),
    ],
)
def test_mistakes_get_one_line_and_code_2(arguments, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bimt(*arguments) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1] and captured.out == ""
    assert len([line for line in captured.err.splitlines() if line.startswith("bimt: ")]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--hook", "blocks.0.hook_resid_pots"], "did you mean 'blocks.0.hook_resid_post'"),
        (["--target", "v"], "unknown target"),
        (["--position", "5"], "position"),
    ],
)
def test_probe_mistakes(finished, arguments, expected, capsys):
    assert bimt("probe", finished, *arguments) == 2
    assert expected in capsys.readouterr().err


def test_ablate_prune_and_export(finished, tmp_path, capsys):
    assert bimt("ablate", finished) == 0
    assert len(re.findall(r"^│ +\d+ │", capsys.readouterr().out, re.MULTILINE)) == 8
    assert bimt("ablate", finished, "--neurons", "0,3") == 0
    assert "0, 3" in capsys.readouterr().out
    assert bimt("prune", finished) == 0
    assert "no path from input to output" in capsys.readouterr().out
    edges = {}
    for form, read in (("graphml", nx.read_graphml), ("gexf", nx.read_gexf)):
        out = tmp_path / f"g.{form}"
        assert bimt("export", finished, "--format", form, "--out", out) == 0
        edges[form] = read(out).number_of_edges()
    assert bimt("export", finished, "--format", "json", "--residual", "unrolled", "--out", tmp_path / "g.json") == 0
    edges["json"] = len(json.loads((tmp_path / "g.json").read_text())["edges"])
    assert set(edges.values()) == {json.loads((finished / "summary.json").read_text())["nonzero_weights"]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ablate", "--neurons", "a"], "--neurons takes numbers"),
        (["ablate", "--neurons", "99"], "99"),
        (["ablate", "--hook", "blocks.9"], "unknown hook"),
        (["export", "--format", "grapml"], "did you mean 'graphml'"),
        (["export", "--residual", "both"], "unknown"),
        (["export", "--out", "no/such/folder/g.graphml"], "cannot write"),
    ],
)
def test_mistakes_about_a_finished_run(finished, arguments, expected, capsys):
    assert bimt(arguments[0], finished, *arguments[1:]) == 2
    assert expected in capsys.readouterr().err


def test_a_used_directory_is_refused(finished, capsys):
    before = (finished / "summary.json").read_bytes()
    assert bimt("train", "in-context", *TINY, "--steps", 20, "--out", finished) == 2
    assert "not empty" in capsys.readouterr().err
    assert (finished / "summary.json").read_bytes() == before


def test_damaged_results_are_named(finished, tmp_path, capsys):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(finished), str(copy)], check=True)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    assert bimt("probe", copy) == 2
    assert "truncated" in capsys.readouterr().err
    newest = sorted((copy / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    assert bimt("resume", copy) == 2
    assert "truncated" in capsys.readouterr().err


def test_non_finite_loss_ends_with_1_and_names_the_checkpoint(tmp_path, capsys):
    out = tmp_path / "nan"
    code = bimt("train", "in-context", *TINY[:-2], "--lr", "1e18", "--steps", 200, "--method", "vanilla", "--out", out)
    assert code == 1
    assert re.search(r"training loss is (nan|inf) at step \d+", capsys.readouterr().err)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_killed_run_resumes_to_the_same_bits(signum, code, tmp_path):
    steps = ["--steps", "1200"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start("train", "in-context", *TINY, *steps, "--out", killed)
    wait_for(lambda: len(list(killed.glob("checkpoints/step_*.pt"))) == 2, process)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    if signum != signal.SIGKILL:
        assert "bimt resume" in errors
    assert not (killed / "model.safetensors").exists()
    newest = load(sorted(killed.glob("checkpoints/step_*.pt"))[-1])
    assert 0 < newest.step < 1200
    assert load_run(killed).state == f"interrupted at step {newest.step:,} of 1,200"
    assert bimt("resume", killed) == 0
    assert bimt("train", "in-context", *TINY, *steps, "--out", whole) == 0
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (killed / "layout.json").read_bytes() == (whole / "layout.json").read_bytes()
    figures = [json.loads(line) for line in (killed / "metrics.jsonl").read_text().splitlines()]
    assert [f["step"] for f in figures] == list(range(10, 1201, 10))


def test_two_processes_cannot_train_in_one_directory(finished, capsys):
    with RunDirectory.open(finished).lock():
        assert bimt("resume", finished) == 2
        assert "in use" in capsys.readouterr().err


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    assert bimt("train", "in-context", *TINY, "--steps", 20, "--out", out, "--log", "tensorboard") == 0
    assert list((out / "tensorboard").glob("events*"))


def test_help_needs_no_torch():
    heavy = ("torch", "transformer_lens", "matplotlib")
    code = f"import sys, bimt_tf.cli.main; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", [[], ["train"], ["resume"], ["probe"]])
def test_help(command, capsys):
    assert bimt(*command, "--help") == 0
    assert "Usage: bimt" in capsys.readouterr().out
