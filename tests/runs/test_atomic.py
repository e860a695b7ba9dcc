"""Files appear whole or not at all, and only plain files are replaced."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite, replacing, replacing_directory, require_path, write_atomically


def special(folder, kind):
    """A path with something on it that is no plain file, and what tells whether it was left alone."""
    path = folder / "there"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a symbolic link":
        (folder / "aim").write_bytes(b"aim")
        path.symlink_to(folder / "aim")
    elif kind == "a socket":
        server = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(folder)  # the name of a socket is short
        server.bind("there")
        os.chdir(here)
        server.close()
    return path


@pytest.mark.parametrize("kind", ["a directory", "a pipe", "a symbolic link", "a socket"])
def test_only_plain_files_are_replaced(tmp_path, kind):
    path = special(tmp_path, kind)
    before = os.lstat(path)
    with pytest.raises(CannotWrite, match=f"there: it is {kind}, only a plain file is replaced"):
        write_atomically(path, b"new")
    assert os.lstat(path).st_ino == before.st_ino and sorted(os.listdir(tmp_path))[-1] == "there"
    if kind == "a symbolic link":
        assert (tmp_path / "aim").read_bytes() == b"aim"


def test_a_device_is_not_replaced():
    with pytest.raises(CannotWrite, match="it is a device"):
        write_atomically(Path(os.devnull), b"new")


def test_a_directory_is_replaced_whole(tmp_path):
    path = tmp_path / "made"
    path.mkdir()
    (path / "old").write_bytes(b"old")
    with replacing_directory(path) as folder:
        (folder / "new").write_bytes(b"new")
        assert (path / "old").exists()
    assert [p.name for p in path.iterdir()] == ["new"] and os.listdir(tmp_path) == ["made"]
    with pytest.raises(RuntimeError), replacing_directory(path) as folder:
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["new"] and os.listdir(tmp_path) == ["made"]
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(CannotWrite, match="symbolic link"), replacing_directory(tmp_path / "link"):
        pass


def test_what_was_there_stays_when_the_writing_fails(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_one_line_and_nothing_is_left(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="file: No space left on device") as caught:
        write_atomically(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "n/" * 3000, "no/such/folder/file"])
def test_paths_that_cannot_be(tmp_path, name):
    with pytest.raises(InputError) as caught:
        write_atomically(tmp_path / name, b"new")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_not_there_yet_may_be_used(tmp_path):
    assert require_path(tmp_path / "not" / "yet") == tmp_path / "not" / "yet"


def test_leftovers_of_a_killed_writer_are_no_hindrance(tmp_path):
    (tmp_path / ".file.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_two_processes_that_write_one_file_at_once_leave_a_whole_one(tmp_path):
    """As two reports of one run: they took each other's half-written file for their own."""
    path, size = tmp_path / "report.html", 300_000
    child = os.fork()
    letter = b"c" if child == 0 else b"p"
    failed = 0
    for _ in range(60):
        try:
            write_atomically(path, letter * size)
            content = path.read_bytes()
            failed += len(content) != size or len(set(content)) != 1
        except InputError:
            failed += 1
    if child == 0:
        os._exit(min(failed, 100))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and failed == 0
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    parts = "", f".{child.pid}", "name.7", f"{child.pid}"  # the last: of a file whose name goes on with digits
    mine, gone, other, longer = (tmp_path / f".file{part}.tmp" for part in parts)
    for one in (mine, gone, other, longer):
        one.write_bytes(b"half")
    write_atomically(tmp_path / "file", b"whole")
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([other.name, longer.name, "file"])
