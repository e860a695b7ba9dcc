"""What a user may get wrong: one line on stderr that names it, exit code 2, and nothing changed on disk.

The inputs are in bad_inputs.py, by kind. Nearly all are tried in this process, through the entry of the command line.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from bad_inputs import ASKED, CONFIGS, DIVERGED, LARGE, REPRODUCE, SWEEPS, TASK_FILES, bad_options

from bimt_tf.cli.main import main
from bimt_tf.config.fields import config_fields

TINY = shlex.split(
    "--samples 200 --d-model 8 --n-layers 1 --n-heads 2 --batch-size 16 --log-every 10 --checkpoint-every 10 "
    "--compile no"
)
REPLACE = "from dataclasses import replace\nfrom bimt_tf.tasks.formulas import FORMULAS\nTASK = "


def bimt(*words):
    """Exit code of ``bimt`` run in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def tree(folder):
    """Everything under a folder: kind and content of each file, never opening a pipe or a device."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else None
        found[str(path)] = (stat.S_IFMT(mode), os.readlink(path) if stat.S_ISLNK(mode) else content)
    return found


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run, which nothing here may change."""
    path = tmp_path_factory.mktemp("finished") / "run"
    assert bimt("train", "in-context", *TINY, "--steps", 20, "--out", path) == 0
    return path


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """A function that tries words in an empty folder, and gives the line that bimt says."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)

    def tried(*words, unchanged=()):
        capsys.readouterr()
        folders = (tmp_path, *unchanged)
        before = [tree(folder) for folder in folders]
        assert bimt(*words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("bimt: ") and len(line) < 2100 and "Traceback" not in line
        assert [tree(folder) for folder in folders] == before
        return line

    return tried


@pytest.mark.parametrize(("task", "option", "word"), list(bad_options()))
def test_options_of_train(refused, task, option, word):
    line = refused("train", task, "--out", "o", option, word)
    names = {option, option[2:], option[2:].replace("-", "_"), "sizes", "population", "heads"}
    assert any(name in line for name in names), line


@pytest.mark.parametrize("name", sorted({field.name for field in config_fields("in-context")}))
def test_misspelt_options_show_the_near_one(refused, name):
    option = f"--{name.replace('_', '-')}"
    line = refused("train", "in-context", "--out", "o", f"{option}q", "1")
    assert f"{option}q" in line and "Did you mean --" in line


@pytest.mark.parametrize(("task", "option", "word"), LARGE)
def test_what_is_too_large_or_not_there_is_refused_before_it_is_made(refused, task, option, word):
    assert refused("train", task, "--out", "o", option, word)


@pytest.mark.parametrize("words", DIVERGED)
def test_a_run_that_diverges_is_no_success(tmp_path, capsys, words):
    code = bimt("train", "in-context", *TINY, "--steps", 20, "--out", tmp_path / "o", *shlex.split(words))
    said = capsys.readouterr()
    assert code == 1 and said.out == "" and " at step " in said.err.splitlines()[-1] and "Traceback" not in said.err
    assert not (tmp_path / "o" / "summary.json").exists()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(refused, tmp_path, name):
    content, expected = CONFIGS[name]
    file = tmp_path / "config.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert expected in refused("train", "in-context", "--config", file, "--out", "o")


@pytest.mark.parametrize("name", TASK_FILES)
def test_tasks_of_one_s_own(refused, tmp_path, name):
    content, expected = TASK_FILES[name]
    file = tmp_path / "my_task.py"
    file.write_text(REPLACE + content.format("replace(FORMULAS[0]") if "{}" in content else content)
    assert expected in refused("train", f"{file}:TASK", "--out", "o")


@pytest.mark.parametrize(
    "name", ["nowhere.py:T", "nowhere.module:T", "json:T", "json:dumps", ":T", "x:", "::", ".py", "a\0.py:T", "", "-"]
)
def test_tasks_that_are_not_there(refused, name):
    assert refused("train", name, "--out", "o")


@pytest.mark.parametrize("words", SWEEPS, ids=" ".join)
def test_sweeps(refused, words):
    assert refused("sweep", "two-moon", "--steps", "3", "--out", "o", *words)


@pytest.mark.parametrize("words", REPRODUCE, ids=" ".join)
def test_reproduce(refused, words):
    assert refused("reproduce", *words)


@pytest.mark.parametrize("words", ["", "--modle x", "--model=", "--model .", "--model /dev/null", "--steps 1.5"])
def test_finetune(refused, words):
    assert refused("finetune", "--out", "o", *shlex.split(words))


@pytest.mark.parametrize("words", ASKED)
def test_questions_about_a_run(refused, finished, words):
    command, *rest = shlex.split(words)
    first = [] if command == "train" else [finished]
    assert refused(command, *first, *rest, unchanged=[finished])


@pytest.mark.parametrize(("field", "old", "new"), [("steps", "20", "30"), ("lr", "0.001", "0.002")])
def test_resume_of_an_edited_config(refused, finished, tmp_path, field, old, new):
    run = shutil.copytree(finished, tmp_path / "run")
    config = (run / "config.yaml").read_text()
    assert f"  {field}: {old}\n" in config
    (run / "config.yaml").write_text(config.replace(f"  {field}: {old}\n", f"  {field}: {new}\n"))
    line = refused("resume", run)
    assert f"training.{field}" in line and "--init-from" in line


PLACES = (
    "foreign", "file", "pipe", "socket", "link to file", "dangling", "link to foreign", "link to device", "loop",
    "file/below", "/dev/null", "/dev/full", "/proc/x", "/sys/x", "a\0b", "x" * 5000, "/".join(["d" * 200] * 30), "",
)  # fmt: skip


@pytest.fixture
def place(request, tmp_path):
    """A path where no run can be, nor be written."""
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "foreign").mkdir()
    for file in ("foreign/theirs.txt", "file"):
        (folder / file).write_text("theirs")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path is short
        bound.bind("socket")
        os.chdir(here)
    links = {"link to file": "file", "dangling": "nowhere", "link to foreign": "foreign", "loop": "loop"}
    for name, target in {**links, "link to device": "/dev/null"}.items():
        (folder / name).symlink_to(target)
    name = request.param
    return folder / name if (folder / name.split("/")[0][:50]).is_symlink() or name in PLACES[:10] else name


every_place = pytest.mark.parametrize("place", PLACES, indirect=True, ids=lambda name: name[:20])


@every_place
def test_places_for_a_run(refused, place, finished):
    before = os.stat("/dev/null").st_mode
    assert refused("train", "in-context", *TINY, "--steps", 3, "--out", place)
    assert refused("train", "in-context", *TINY, "--steps", 3, "--out", place, "--overwrite")
    assert refused("train", "in-context", *TINY, "--steps", 3, "--out", "o", "--init-from", place)
    assert refused("train", "in-context", "--config", place, "--out", "o")
    assert os.stat("/dev/null").st_mode == before and stat.S_ISCHR(before)


@every_place
def test_places_where_a_run_is_looked_for(refused, place, finished):
    for command in ("resume", "show", "probe", "ablate", "prune", "export"):
        assert refused(command, place)
    assert refused("compare", finished, place, unchanged=[finished])


@pytest.mark.parametrize("place", [p for p in PLACES if p != "file"], indirect=True, ids=lambda name: name[:20])
def test_places_for_a_file(refused, place, finished):
    assert refused("export", finished, "--out", place, unchanged=[finished])
    assert refused("compare", finished, finished, "--figure", place, unchanged=[finished])
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_to_a_directory_is_a_run_directory(tmp_path, capsys):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert bimt("train", "in-context", *TINY, "--steps", 3, "--out", tmp_path / "link") == 0
    assert bimt("show", tmp_path / "link") == 0 and (tmp_path / "real" / "summary.json").exists()


COMMANDS = (
    "tarin", "train", "train in-context --steps ten", "train in-context --steps 1.5", "train in-context --out=",
    "train in-context --threads 100000", "train in-context --samples 1000000000000", "show nowhere", "compare a",
    "train in-context --config /dev/zero", "train in-context --stepz 3", "list nowhere", "sweep two-moon --set lr=x",
    "sweep two-moon --seeds 0-999999999", "reproduce table1 --seeds a", "finetune", "train nowhere.py:T",
    "train two-moon --hidden 20,,20", "train in-context --config nowhere.yaml", "train in-context --method bmit",
    "export", "train in-context --lam 0.5:1",
)  # fmt: skip


def test_real_commands(tmp_path):
    """Several at once, since starting each takes seconds."""
    for begin in range(0, len(COMMANDS), 4):
        some = COMMANDS[begin : begin + 4]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "bimt_tf", *shlex.split(words)], cwd=tmp_path, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for words in some
        ]  # fmt: skip
        for words, process in zip(some, started, strict=True):
            out, errors = process.communicate(timeout=300)
            assert (process.returncode, out) == (2, ""), words
            assert errors.startswith("bimt: ") and errors.count("\n") == 1, errors
    assert list(tmp_path.iterdir()) == []


def test_the_library(finished):
    """Wrong types and values given to functions: an error of ours in one line."""
    import torch

    from bimt_tf import BIMT, MLP, Geometry, Layout, RegressionTransformer, load_run, train
    from bimt_tf.errors import InputError

    model, x, y = MLP([4, 5, 2]), torch.randn(40, 4), torch.randn(40, 2)
    sizes = {"d_in": 2, "d_out": 2, "d_model": 8, "n_layers": 1, "n_heads": 2, "n_ctx": 3}
    bimt, run = BIMT(model), load_run(finished)
    calls = [
        *(lambda given=given: BIMT(**{"model": model, **given}) for given in (
            {"model": 3}, {"model": None}, {"geometry": 3}, {"wiring": "x"}, {"reduction": "men"}, {"layout": {}},
            {"model": torch.nn.Linear(2, 3)}, {"geometry": Geometry(shapes={"inptu": "ring"})},
            {"geometry": Geometry(shapes={"input": "rign"})}, {"geometry": Geometry(shapes={"input": (1, 1)})},
        )),
        *(lambda given=given: Geometry(**given) for given in (
            {"width": "a"}, {"width": float("nan")}, {"width": -1}, {"width": None}, {"norm": "l3"},
        )),
        *(lambda slots=slots: Layout({"input": slots}) for slots in ([0, 1], torch.rand(3), torch.tensor([0, 0]))),
        *(lambda given=given: RegressionTransformer(**{**sizes, **given}) for given in (
            {"d_model": 0}, {"d_model": "8"}, {"d_model": 8.5}, {"n_heads": 64}, {"n_layers": None}, {"act_fn": "gleu"},
        )),
        *(lambda sizes=sizes: MLP(sizes) for sizes in ([], [3], [3, 0, 2], "abc", [3.5, 2])),
        *(lambda data=data: train(model, data, progress=False) for data in (3, (x,), (x, y[:3]), (x.double(), y))),
        *(lambda given=given: train(model, (x, y), progress=False, **given) for given in (
            {"loss": "squaerd"}, {"loss": 3}, {"stpes": 3}, {"steps": "3"}, {"steps": 3.5}, {"lr": float("nan")},
            {"batch_size": 1000}, {"batch_size": -1}, {"batch_size": "a"}, {"test_share": 2}, {"test_share": "a"},
            {"out": "/dev/null", "steps": 3}, {"seed": -1}, {"seed": "a"}, {"method": "bmit"}, {"method": 3},
            {"lam": "a"}, {"lam": [1, 2]}, {"fixed": "input"}, {"fixed": ("inptu",)}, {"device": "cuda:9"},
            {"threads": 1000}, {"out": 3}, {"out": True},
        )),
        lambda: train(3, (x, y)), lambda: setattr(bimt, "layout", 3), lambda: bimt.swap("asignment"),
        lambda: bimt.load_state_dict({}), lambda: load_run(3), lambda: load_run("a\0"), lambda: load_run("nowhere"),
        lambda: load_run(finished, device="cuda:9"), lambda: load_run(finished, model=3),
        lambda: load_run(finished, model=model), lambda: run.probe(hook="x"), lambda: run.probe(position="a"),
        lambda: run.probe_tokens("x"), lambda: run.probe_tokens(target="v"),
        lambda: run.ablate(neurons=[1, 1]), lambda: run.ablate(neurons=[1.5]), lambda: run.graph("x"),
        lambda: run.figure("netwrk"), lambda: run.export("/dev/null"), lambda: run.export("g", "grapml"),
        lambda: run.examples("held-uot"), lambda: run.examples("held-out", n=-1),
    ]  # fmt: skip
    for number, call in enumerate(calls):
        with pytest.raises(InputError) as caught:
            call()
            pytest.fail(f"call {number} is accepted")
        assert "\n" not in str(caught.value), number
