"""Writing files and directories so that a reader, or a machine that stops, never meets half of one.

The one place that writes to a temporary name and renames. What is no plain file is not replaced: a device, a socket, a
pipe, a directory, or a symbolic link, which may lead anywhere. No torch at import.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bimt_tf.errors import InputError

__all__ = [
    "CannotWrite", "TEMPORARY", "remove", "replacing", "replacing_directory", "require_path", "write_atomically",
]  # fmt: skip

TEMPORARY = ".tmp"
"""What the temporary name of a file NAME ends with: .NAME.PROCESS.tmp beside it, so that two processes do not meet."""


class CannotWrite(InputError):
    """A file cannot be written: its path and the reason in one line."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file.

    Raises:
        CannotWrite: for a path where something other than a plain file is, a full disk, a missing permission; the
            file that was there before is as it was.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` once the block has ended without an exception.

    Raises:
        CannotWrite: as :func:`write_atomically`; also for what the block itself cannot write.
    """
    with _named(path):
        _require_replaceable(path, directory=False)
        temporary = _temporary(path)
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                remove(temporary)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """A new directory to fill, which takes the place of ``path`` once the block has ended without an exception.

    Raises:
        CannotWrite: as :func:`replacing`; ``path`` may be a directory, no link to one.
    """
    with _named(path):
        _require_replaceable(path, directory=True)
        temporary = _temporary(path)
        try:
            temporary.mkdir()
            yield temporary
            remove(path)
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                remove(temporary)


def require_path(path: Path) -> Path:
    """``path``, which the file system can look up.

    Raises:
        InputError: for a NUL character, a name or a path that is too long, or a folder that may not be looked into.
    """
    try:
        os.lstat(path)
    except ValueError as error:
        raise InputError(f"a path cannot hold a NUL character, found {str(path)!r}") from error
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InputError(f"cannot use {_short(path)}: {error.strerror}") from error
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what the operating system says into one line that names the path."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {_short(path)}: {error.strerror or error}") from error


def _require_replaceable(path: Path, *, directory: bool) -> None:
    try:
        mode = os.lstat(require_path(path)).st_mode
    except OSError:  # nothing there, which is right, or no folder for it, which opening the file will tell
        return
    if not (stat.S_ISDIR(mode) if directory else stat.S_ISREG(mode)):
        wanted = "a directory" if directory else "a plain file"
        raise CannotWrite(f"cannot write {path}: it is {_kind(mode)}, only {wanted} is replaced; give another path")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket", stat.S_IFREG: "a file",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")


def _temporary(path: Path) -> Path:
    """A temporary name for a path, where nothing is; what processes that ended have left there is removed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}*{TEMPORARY}"):
        middle = left.name[len(path.name) + 1 : -len(TEMPORARY)]
        if middle and not middle.startswith("."):  # of another path, whose name begins as this one's
            continue
        number = middle.removeprefix(".")
        if number in ("", str(os.getpid())) or (number.isdecimal() and not _runs(int(number))):
            remove(left)
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")


def _runs(process: int) -> bool:
    """Whether a process of this number is there; where that is not told, as on Windows, it may be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # someone else's
        pass
    return True


def remove(path: Path) -> None:
    """Remove a file, a link or a directory, if it is there; raises OSError if that cannot be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"
