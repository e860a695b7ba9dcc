import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import networkx as nx
import pytest
import torch
import yaml

import bimt_tf
from bimt_tf.cli.main import main
from bimt_tf.runs.checkpoints import load
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.load import load_run

TINY = ["--samples", "200", "--d-model", "8", "--n-layers", "1", "--n-heads", "2", "--batch-size", "16"]
TINY += ["--log-every", "10", "--checkpoint-every", "10", "--swap-every", "7", "--lam", "0.3", "--lr", "0.01"]
TINY += ["--no-eliminate", "--finish", "0.4"]


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
        "probes.json", "figures", "report.html", "snapshots",
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
def test_odd_networks_are_measured_and_drawn_too(odd, tmp_path, capsys):
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
def test_each_kind_of_task_is_measured_and_drawn(of_each_kind, task, capsys):
    run = of_each_kind[task]
    summary = json.loads((run / "summary.json").read_text())
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["hidden"] == [12, 9]
    figures = {path.stem for path in (run / "figures").iterdir()}
    classes = task != "symbolic-a"
    assert figures == {
        "network",
        "connectivity",
        "curves",
        "confusion" if classes else "prediction",
    }
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
        (["train"], "takes a task first"),
        (["train", "--steps", "5", "in-context"], "takes a task first"),
        (["train", "in-context", "two-moon"], "two-moon"),
        (["train", "in-context", "--method", "bmit"], "unknown method 'bmit'"),
        (["train", "in-context", "--preset", "papr"], "did you mean 'paper'"),
        (["train", "in-context", "--stepz", "5"], "Did you mean --steps?"),
        (["train", "in-context", "--steps"], "--steps requires an argument"),
        (
            ["train", "in-context", "--steps", "5", "--steps", "-6"],
            "steps must be above 0, found -6",
        ),  # the last counts
        (["train", "in-context", "--steps", "-1"], "steps must be above 0"),
        (["train", "in-context", "--steps", "ten"], 'Invalid value for --steps: unable to convert "ten" into int'),
        (["train", "in-context", "--steps", "1e3"], "--steps"),
        (["train", "in-context", "--steps", "9" * 5000], "--steps"),
        (["train", "in-context", "--seed", str(2**63)], "seed must be below 2**63"),
        (["train", "in-context", "--seed", "-1"], "at least 0, found -1"),
        (["train", "in-context", "--threads", "100000"], "threads must be at most 1024"),
        (["train", "in-context", "--threads", "1000"], "threads, on"),
        (["train", "in-context", "--swap-every", "0"], "swap_every must be above 0"),
        (["train", "in-context", "--lam", "-1"], "at least 0"),
        (["train", "in-context", "--lam", "nan"], "finite"),
        (["train", "in-context", "--lam", "0:1,,0.5:2"], "START:VALUE pairs"),
        (["train", "in-context", "--width", "nan"], "width must be finite"),
        (["train", "in-context", "--width", "-2"], "width must be at least 0"),
        (["train", "in-context", "--n-heads", "0"], "n_heads must be a whole number"),
        (["train", "in-context", "--n-heads", "64"], "give d_head"),
        (["train", "in-context", "--act-fn", "gelu"], "unknown act_fn"),
        (["train", "in-context", "--penalty", "proximall"], 'Did you mean "proximal"?'),
        (["train", "in-context", "--device", "cuda:77"], "not available"),
        (["train", "two-moon", "--hidden", "20,x"], "--hidden must be a valid integer"),
        (["train", "two-moon", "--hidden", "20,,20"], "--hidden has an empty item in its list, found '20,,20'"),
        (["train", "two-moon", "--hidden", "20,0"], "hidden must be a whole number of at least 1"),
        (["train", "two-moon", "--d-model", "20"], "Unknown option: --d-model"),
        (["train", "two-moon", "--model", "transformer"], "two-moon has one model"),
        (["train", "s4", "--model", "transfomer"], "did you mean 'transformer'"),
        (["train", "in-context", "--fixed", "inputs"], "did you mean 'input'"),
        (["train", "in-context", "--shapes", "output"], "NAME=VALUE pairs such as output=ring"),
        (["train", "in-context", "--config", "nowhere.yaml"], "cannot read config"),
        (["train", "in-context", "--log", "tensorbord"], "did you mean 'tensorboard'"),
        (["train", "nowhere.py:TASK"], "is not there"),
        (["train", "nowhere.module:TASK"], "cannot be imported"),
        (["sweep", "two-moon", "--methods", "l1,,bimt"], "--methods has an empty item"),
        (["resume", "nowhere"], "not a run directory"),
        (["resume"], "requires an argument"),
        (["probe", "nowhere"], "not a run directory"),
        (["show", "nowhere"], "not a run directory: there is no such folder; 'bimt list' shows"),
        (["compare", "nowhere"], "two run directories or more"),
        (["tarin"], 'Did you mean "train"?'),
        (["--verison"], "--verison"),
    ],
)
def test_mistakes_get_one_line_and_code_2(arguments, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bimt(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("bimt: ") and expected in line
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
        (["ablate", "--neurons", "a"], "--neurons must be a valid integer"),
        (["ablate", "--neurons", "1,,2"], "--neurons has an empty item"),
        (["ablate", "--neurons", "99"], "99"),
        (["ablate", "--hook", "blocks.9"], "unknown hook"),
        (["export", "--format", "grapml"], "did you mean 'graphml'"),
        (["export", "--residual", "both"], 'Choose from: "shared", "unrolled"'),
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


KILLED_STEPS = 600  # over two seconds, of which the first checkpoints are a twentieth


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing killed."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert bimt("train", "in-context", *TINY, "--steps", KILLED_STEPS, "--out", out) == 0
    return out


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_killed_run_resumes_to_the_same_bits(signum, code, whole, tmp_path):
    killed = tmp_path / "killed"
    process = start("train", "in-context", *TINY, "--steps", KILLED_STEPS, "--out", killed)
    wait_for(lambda: len(list(killed.glob("checkpoints/step_*.pt"))) == 2, process)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    if signum != signal.SIGKILL:
        assert "bimt resume" in errors
    assert not (killed / "model.safetensors").exists()
    newest = load(sorted(killed.glob("checkpoints/step_*.pt"))[-1])
    assert 0 < newest.step < KILLED_STEPS
    assert load_run(killed).state == f"interrupted at step {newest.step:,} of {KILLED_STEPS:,}"
    assert bimt("resume", killed) == 0
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (killed / "layout.json").read_bytes() == (whole / "layout.json").read_bytes()
    figures = [json.loads(line) for line in (killed / "metrics.jsonl").read_text().splitlines()]
    assert [f["step"] for f in figures] == list(range(10, KILLED_STEPS + 1, 10))


def test_two_processes_cannot_train_in_one_directory(finished, capsys):
    with RunDirectory.open(finished).lock():
        assert bimt("resume", finished) == 2
        assert "in use" in capsys.readouterr().err


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    assert bimt("train", "in-context", *TINY, "--steps", 20, "--out", out, "--log", "tensorboard") == 0
    assert list((out / "tensorboard").glob("events*"))


def test_a_run_of_a_model_of_one_s_own_is_shown_without_the_model(tmp_path, capsys):
    x = torch.rand(40, 2)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.SiLU(), torch.nn.Linear(4, 1))
    bimt_tf.train(model, (x, x[:, :1]), steps=20, out=tmp_path / "own", progress=False)
    capsys.readouterr()
    assert bimt("show", tmp_path / "own") == 0
    out = capsys.readouterr().out
    assert "active weights" in out and "finished" in out


def test_list_show_and_compare(finished, tmp_path, capsys):
    assert bimt("list", finished.parent, "--json") == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["path"] == str(finished)]
    assert (row["task"], row["method"], row["seed"], row["steps"]) == ("in-context", "bimt", 0, 60)
    assert bimt("list", finished.parent) == 0
    assert "in-context  bimt" in capsys.readouterr().out
    assert bimt("list", tmp_path) == 0
    assert capsys.readouterr().out == f"no run under {tmp_path}\n"
    assert bimt("show", finished, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "finished" and shown["summary"] == json.loads((finished / "summary.json").read_text())
    assert bimt("show", finished) == 0
    assert "active weights" in capsys.readouterr().out
    other, figure = tmp_path / "other", tmp_path / "both.png"
    words = ["--config", finished / "config.yaml", "--steps", 20, "--init-from", finished, "--out", other]
    assert bimt("train", "in-context", *words) == 0
    capsys.readouterr()
    assert bimt("compare", finished, other, "--json") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["training.steps"] == [60, 20]
    assert bimt("compare", finished, other, "--figure", figure) == 0
    out = capsys.readouterr().out
    assert out.index("training.steps") < out.index("test_loss") and figure.read_bytes()[:4] == b"\x89PNG"
    assert out.splitlines()[-1] == f"figure: {figure}"
    assert bimt("compare", finished, other, "--figure", figure, "--device", "gpu") == 2
    assert "gpu" in capsys.readouterr().err
    assert bimt("show", other.parent) == 2
    assert f"its folders have; 'bimt list {other.parent}' shows them" in capsys.readouterr().err
    assert bimt("compare", finished, other, "--figure", tmp_path / "both.doc") == 2
    assert "unknown format of a figure 'doc'" in capsys.readouterr().err


def test_questions_answer_in_json(finished, tmp_path, capsys):
    for words in (["prune"], ["ablate"], ["ablate", "--neurons", "0,3"]):
        assert bimt(words[0], finished, *words[1:], "--device", "cpu", "--json") == 0
        assert isinstance(json.loads(capsys.readouterr().out), list)
    assert bimt("export", finished, "--out", tmp_path / "g.graphml", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"graph": str(tmp_path / "g.graphml")}
    assert bimt("prune", finished, "--device", "cuda:77") == 2
    assert "cuda:77" in capsys.readouterr().err


def test_a_task_of_one_s_own_is_trained_and_resumed_from_anywhere(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_task.py").write_text(
        "from bimt_tf.tasks.formulas import FORMULAS\nfrom dataclasses import replace\n"
        "TASK = replace(FORMULAS[0], name='mine')\n"
    )
    monkeypatch.chdir(tmp_path)
    assert bimt("train", "my_task.py:TASK", "--steps", 20, "--hidden", "5", "--compile", "no") == 0
    run = tmp_path / "runs" / "mine-bimt-seed0"
    assert yaml.safe_load((run / "config.yaml").read_text())["task"] == f"{tmp_path.resolve()}/my_task.py:TASK"
    monkeypatch.chdir("/")
    assert bimt("resume", run) == 0
    assert bimt("prune", run) == 0
    (tmp_path / "my_task.py").unlink()
    capsys.readouterr()
    assert subprocess.run([sys.executable, "-m", "bimt_tf.cli.main", "prune", run], check=False).returncode == 2


def test_a_table_where_the_locale_is_plain_c(monkeypatch):
    """Python's own handler there, surrogateescape, has no way to write a line of a table."""
    from bimt_tf.cli.main import _open_streams

    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="surrogateescape")
    monkeypatch.setattr("sys.stdout", stream)
    _open_streams()
    stream.write("│ …")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u2502 \\u2026"
