"""Tasks of one's own: by file, by module and by entry point; and what is said when one cannot be had."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from bimt_tf.config.fields import config_fields
from bimt_tf.config.reading import dump, load, make
from bimt_tf.errors import InputError
from bimt_tf.tasks import registry
from bimt_tf.tasks.base import Task
from bimt_tf.tasks.own import short_name

SOURCE = '''
from __future__ import annotations
from dataclasses import dataclass
from bimt_tf.tasks.formulas import FormulaTask
from bimt_tf.tasks.kinds import MLPOptions

@dataclass(frozen=True)
class MyOptions:
    """My data."""
    samples: int = 200
    """how many"""
    width: float = 3.0
    """a name that the geometry has as well"""

@dataclass(frozen=True)
class Mine(FormulaTask):
    Options: type = MyOptions

def mine(name, presets):
    return Mine(name, "my own", presets, inputs=2, outputs=("y",), columns=lambda x: (x[:, 0],))

TASK = mine("mine", {"best": {"training": {"steps": 7}}})
NUMBER = 3
CLASS = Mine
BADLY_NAMED = mine("my/own", {"best": {}})
BARE = mine("bare", {})
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_task.py"
    path.write_text(SOURCE)
    return path


def test_a_task_in_a_file(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = registry.task("my_task.py:TASK")
    assert isinstance(found, Task) and found.name == "mine"
    config = make("my_task.py:TASK")
    assert config.task == f"{file.resolve()}:TASK"  # so that a resume works from anywhere
    assert config.training.steps == 7
    written = tmp_path / "config.yaml"
    written.write_text(dump(config))
    monkeypatch.chdir("/")
    assert load(written) == config
    assert registry.task(config.task) is found  # a file is run once in a process


def test_its_config_goes_to_another_process(file, tmp_path):
    config = make(f"{file}:TASK", overrides={"data": {"samples": 9}})
    written = tmp_path / "config.pickle"
    written.write_bytes(pickle.dumps(config))
    code = (
        "import pickle, sys; from pathlib import Path; from bimt_tf.config.reading import dump\n"
        "print(dump(pickle.loads(Path(sys.argv[1]).read_bytes())))"
    )
    found = subprocess.run([sys.executable, "-c", code, written], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == dump(config).strip()
    assert pickle.loads(pickle.dumps(make("two-moon"))) == make("two-moon")


def test_a_table_shows_it_without_its_folder(file):
    assert short_name(f"{file}:TASK") == "my_task.py:TASK"
    assert short_name("my.module:TASK") == "my.module:TASK" and short_name("two-moon") == "two-moon"


def test_a_task_in_a_module(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.task("my_task:TASK").name == "mine"
    assert make("my_task:TASK").task == "my_task:TASK"
    del sys.modules["my_task"]


def test_a_task_of_an_installed_package(file, monkeypatch):
    point = EntryPoint("theirs", f"{file}:TASK", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry._installed.cache_clear()
    try:
        assert registry.task("theirs").name == "mine"
        assert "theirs" in registry.all_tasks()
        with pytest.raises(InputError, match="did you mean 'theirs'"):
            registry.task("thiers")
    finally:
        registry._installed.cache_clear()


def test_its_fields_have_their_sentences(file):
    found = {(field.section, field.name): field.sentence for field in config_fields(f"{file}:TASK")}
    assert found["data", "samples"] == "how many"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TAKS", "unknown task in .*my_task.py 'TAKS'; did you mean 'TASK'"),
        ("NUMBER", "NUMBER in .* is a int; an instance of a subclass of bimt_tf.tasks.base.Task is needed"),
        ("CLASS", "CLASS in .* is the class Mine; an instance"),
        ("BADLY_NAMED", "has the name 'my/own'; letters"),
        ("BARE", "has no preset"),
        ("", "say which task of .*my_task.py:TASK"),
    ],
)
def test_what_is_no_task_is_said(file, name, expected):
    with pytest.raises(InputError, match=expected) as caught:
        registry.task(f"{file}:{name}")
    assert "\n" not in str(caught.value)


def test_a_file_alone_is_no_task(file):
    with pytest.raises(InputError, match="say which task"):
        registry.task(str(file))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(:\n", r"does not run: SyntaxError: .* \(line 1\)"),
        ("x = 1\nimport nowhere_at_all\n", r"ModuleNotFoundError: No module named 'nowhere_at_all' \(line 2\)"),
        ("\n\nraise ValueError('first\\nsecond')\n", r"ValueError: first second \(line 3\)"),
        ("\0", "does not run"),
    ],
)
def test_a_file_that_does_not_run_is_said_in_one_line(source, expected, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(InputError, match=expected) as caught:
        registry.task(f"{path}:TASK")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nowhere.py:TASK", "a\0b.py:TASK", "x" * 5000 + ".py:TASK", "nowhere.module:TASK", ":TASK"]
)
def test_what_is_not_there_is_said_in_one_line(name):
    with pytest.raises(InputError) as caught:
        registry.task(name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_task(tmp_path):
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(InputError, match="is not there"):
        registry.task(f"{tmp_path}/folder.py:TASK")
