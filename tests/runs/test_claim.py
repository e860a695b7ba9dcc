"""Whose directory it is: free, claimed, or somebody else's; and one process at a time in it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

import bimt_tf.runs.lock
from bimt_tf.errors import InputError
from bimt_tf.runs.claim import claim, holds
from bimt_tf.runs.lock import LOCK, SOFT_LOCK, InUse, lock

RUN = {"what": "a run", "owned": ("config.yaml", "figures", "summary.json")}


def test_a_new_directory_is_claimed_once(tmp_path):
    path = tmp_path / "a" / "run"
    assert not holds(path, "config.yaml", "a run")
    assert claim(path, "config.yaml", b"one", **RUN)
    assert holds(path, "config.yaml", "a run")
    assert not claim(path, "config.yaml", b"two", **RUN)
    assert (path / "config.yaml").read_bytes() == b"one"


def test_overwriting_takes_what_is_owned_and_nothing_else(tmp_path):
    claim(tmp_path, "config.yaml", b"one", **RUN)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").touch()
    (tmp_path / "summary.json").touch()
    (tmp_path / "notes.txt").write_text("mine")
    assert claim(tmp_path, "config.yaml", b"two", overwrite=True, **RUN)
    assert {p.name for p in tmp_path.iterdir()} == {"config.yaml", "notes.txt", LOCK}
    assert (tmp_path / "config.yaml").read_bytes() == b"two"


@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_content_is_refused(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not the directory of a run: it holds 'thesis.tex' and no config.yaml"):
        claim(tmp_path, "config.yaml", b"one", overwrite=overwrite, **RUN)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_what_a_killed_process_leaves_is_nobodys(tmp_path):
    for name in (LOCK, ".config.yaml.tmp"):
        (tmp_path / name).touch()
    assert claim(tmp_path, "config.yaml", b"one", **RUN)


def test_a_link_to_a_directory_is_a_directory(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    assert claim(tmp_path / "run", "config.yaml", b"one", **RUN)
    assert (tmp_path / "disk" / "config.yaml").exists() and (tmp_path / "run").is_symlink()


def test_what_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path, says in (
        (tmp_path / "file", "is a file; a run needs a directory"),
        (tmp_path / "file" / "below", "a part of it is a file"),
        (tmp_path / "dangling", "leads nowhere"),
        (tmp_path / "nul\0", "NUL"),
        (tmp_path / ("n" * 300), "File name too long"),
    ):
        with pytest.raises(InputError, match=says):
            claim(path, "config.yaml", b"one", **RUN)
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file"]


def test_the_second_in_a_directory_is_refused_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bimt_tf.runs.lock import lock\n"
        "with lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(InUse, match="in use by another bimt process"), lock(tmp_path):
            pass
        with pytest.raises(InUse):
            claim(tmp_path, "config.yaml", b"one", **RUN)
        first.kill()
    with lock(tmp_path):  # the lock went with the process
        pass


def test_where_the_file_system_has_no_locks_a_file_stands_for_it(tmp_path, monkeypatch):
    class NoLocks:
        def __init__(self, path):
            pass

        def acquire(self, timeout):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(bimt_tf.runs.lock, "FileLock", NoLocks)
    with lock(tmp_path):
        assert (tmp_path / SOFT_LOCK).exists()
        with pytest.raises(InUse, match=f"remove .*{SOFT_LOCK}"), lock(tmp_path):
            pass
    assert not (tmp_path / SOFT_LOCK).exists()
