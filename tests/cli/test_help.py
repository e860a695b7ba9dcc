"""The help of every command: what it shows, that it comes quickly, and that it loads nothing heavy."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from bimt_tf.cli.commands import COMMANDS
from bimt_tf.cli.main import main
from bimt_tf.config.fields import config_fields
from bimt_tf.tasks.registry import TASKS

HEAVY = ("torch", "matplotlib", "transformer_lens", "scipy", "sklearn", "networkx", "transformers", "pandas")
NAMES = [name for group in COMMANDS.values() for name in group]
OF_A_TASK = [[name, "in-context"] for name in ("train", "sweep")]


def shown(capsys, *arguments):
    """What ``bimt`` prints; it must end with 0."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_bimt_alone_prints_help(capsys):
    assert shown(capsys).startswith("Usage: bimt")
    assert all(name in shown(capsys, "--help") for name in NAMES)


def test_help_keeps_the_order_in_which_commands_are_used(capsys):
    out = shown(capsys, "--help")
    places = [out.index(f"│ {name} ") for name in NAMES]
    assert places == sorted(places)


def test_the_version(capsys):
    import bimt_tf

    assert shown(capsys, "--version") == f"bimt {bimt_tf.__version__}\n"


@pytest.mark.parametrize("command", [*([name] for name in NAMES), *OF_A_TASK], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(command, flag, capsys):
    out = shown(capsys, *command, flag)
    assert f"Usage: bimt {' '.join(command)}" in out and 'default: ""' not in out


@pytest.mark.parametrize("task", TASKS)
def test_a_task_s_help_shows_its_options_alone_in_groups(task, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = shown(capsys, "train", task, "--help")
    own = {field.name for field in config_fields(task)}
    others = {field.name for other in TASKS for field in config_fields(other)} - own
    assert all(f"--{name.replace('_', '-')} " in out for name in own)
    assert not any(f"--{name.replace('_', '-')} " in out for name in others - {"config"})
    titles = ("Task", "Model", "Penalty and geometry", "Optimizer", "Output and machine")
    places = [out.index(f"─ {title} ─") for title in titles]
    assert places == sorted(places)
    assert all(field.sentence.split()[0] in out for field in config_fields(task))


def test_help_shows_what_the_first_preset_says(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = shown(capsys, "train", "symbolic-c", "--help")
    assert "e.g. 20,20 [20,20,20,20]" in out
    assert "[0:0.0001,0.25:0.00015]" in out


def test_tasks_as_a_table_and_as_json(capsys):
    assert all(name in shown(capsys, "tasks") for name in TASKS)
    found = json.loads(shown(capsys, "tasks", "--json"))
    assert [one["name"] for one in found][: len(TASKS)] == list(TASKS)
    assert found[0]["presets"] == ["best", "paper", "notebook"]


@pytest.mark.parametrize("command", [[], *([name] for name in NAMES), *OF_A_TASK], ids=" ".join)
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys\n"
        "from bimt_tf.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: print('LOADED', [m for m in {HEAVY} if m in sys.modules])"
    )
    words = [sys.executable, "-c", code, *command, "--help"]
    found = subprocess.run(words, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "LOADED []" in found.stdout


def test_help_comes_up_in_under_a_second():
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "bimt_tf.cli.main", "train", "in-context", "--help"]
    subprocess.run(words, check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime < 1  # of the processor: others may use it
