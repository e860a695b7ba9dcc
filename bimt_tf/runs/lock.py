"""One process at a time in a run directory. No torch at import.

The operating system holds the lock (flock, through filelock) and drops it with the process, so a run that was killed
leaves nothing to clear away. A file system without such locks (some network ones) gets a file instead that names the
process and its machine: it is taken over on that machine once the process is gone; after a crash on another machine it
has to be removed by hand, which the message says.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite

__all__ = ["InUse", "LOCK", "SOFT_LOCK", "lock", "lock_answers"]

LOCK = ".lock"
SOFT_LOCK = ".lock.held"
"""The file that stands for the lock where the file system has none."""
ANSWERS = ".lock.answers"
"""The lock of the files of answers: a question may be asked of a run while another process works on it."""
PATIENCE = 20.0  # seconds; an answer is written in a fraction of one

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


class InUse(InputError):
    """Another process works in the directory."""


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold a directory that exists for this process.

    Raises:
        InUse: at once, if another process (or another place of this one) holds it.
        CannotWrite: if no lock can be made there.
    """
    held = _acquired(directory, LOCK, SOFT_LOCK, 0.0)
    try:
        yield
    finally:
        held.release()


@contextmanager
def lock_answers(directory: Path) -> Iterator[None]:
    """Hold the files of answers of a run while one is read, added to and replaced; waits for whoever holds them.

    Raises:
        CannotWrite: if no lock can be made there, or it is held for longer than an answer takes.
    """
    try:
        held = _acquired(directory, ANSWERS, f"{ANSWERS}.held", PATIENCE)
    except InUse as error:
        raise CannotWrite(str(error)) from error
    try:
        yield
    finally:
        held.release()


def _acquired(directory: Path, name: str, soft_name: str, patience: float) -> BaseFileLock:
    """The lock ``name``, waited for so many seconds."""
    soft = directory / soft_name
    try:
        with warnings.catch_warnings():  # filelock warns where it falls back itself
            warnings.simplefilter("ignore")
            try:
                held: BaseFileLock = FileLock(directory / name)
                held.acquire(timeout=patience)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                held = SoftFileLock(soft)
                held.acquire(timeout=patience)
    except Timeout as error:
        hint = f"; if that process is gone, remove {soft}" if soft.exists() else ""
        raise InUse(f"{directory} is in use by another bimt process{hint}") from error
    except OSError as error:
        raise CannotWrite(f"cannot write {directory / name}: {error.strerror or error}") from error
    return held
