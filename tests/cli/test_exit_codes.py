"""How ``bimt`` ends: one line and a code for what goes wrong, never a traceback for what a machine does."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys

import pytest

from bimt_tf.cli import commands
from bimt_tf.cli.main import main
from bimt_tf.errors import InputError
from bimt_tf.runs.stopping import Interrupted, RunFailed


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (InputError("steps must\nbe above 0"), 2, "bimt: steps must be above 0\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), 1, "bimt: out/x: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 1, "bimt: out: Permission denied\n"),
        (OSError("odd"), 1, "bimt: odd\n"),
        (MemoryError(), 1, "bimt: not enough memory: "),
        (RunFailed("the training loss is nan at step 3"), 1, "bimt: the training loss is nan at step 3\n"),
        (Interrupted(signal.SIGTERM, "stopped at step 3"), 143, "bimt: stopped at step 3\n"),
        (KeyboardInterrupt(), 130, "bimt: interrupted\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_wrong_is_one_line_and_a_code(raised, code, said, monkeypatch, capsys):
    def fail(*arguments, **options):
        raise raised

    monkeypatch.setattr(commands, "bimt", fail)
    with pytest.raises(SystemExit) as ended:
        main(["tasks"])
    assert ended.value.code == code
    errors = capsys.readouterr().err
    assert errors.startswith(said) and errors.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(*arguments, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "bimt", fail)
    with pytest.raises(ZeroDivisionError):
        main(["tasks"])


def test_a_reader_that_has_ended_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "bimt_tf.cli.main", "tasks", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_an_interrupt_while_libraries_load_is_answered(monkeypatch, capsys):
    class Interrupts:
        def find_spec(self, name, path=None, target=None):
            if name == "bimt_tf.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "bimt_tf.cli.commands")
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    monkeypatch.delattr("bimt_tf.cli.commands", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["tasks"])
    assert ended.value.code == 130 and capsys.readouterr().err == "bimt: interrupted\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_the_start_is_no_error(stream, monkeypatch):
    monkeypatch.setattr(sys, stream, None)
    with pytest.raises(SystemExit) as ended:
        main(["tasks"] if stream == "stdout" else ["tarin"])
    assert ended.value.code == (0 if stream == "stdout" else 2)
    getattr(sys, stream).close()


def test_an_interrupt_inside_a_command_of_a_task_is_said(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bimt_tf.cli.train.require_runnable", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["train", "two-moon", "--steps", "3"])
    assert ended.value.code == 130 and capsys.readouterr().err == "bimt: interrupted\n"
