"""Whose directory is this? A run, a sweep and the runs of a pool each own a directory, known by a marker file in it.

    a run    config.yaml
    a sweep  sweep.yaml

No torch at import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import CannotWrite, remove, require_path, write_atomically
from bimt_tf.runs.lock import LOCK, SOFT_LOCK, lock

__all__ = ["LEFTOVERS", "claim", "holds"]

LEFTOVERS = (LOCK, f"{LOCK}*", SOFT_LOCK, ".*.tmp")
"""Names (patterns) that a process may leave which was killed before the marker was whole: nobody's property."""


def holds(path: Path, marker: str, what: str) -> bool:
    """Whether a directory holds ``marker``: True if it is one already, False if it is free to become one.

    Free is what does not exist, is empty, or holds nothing but LEFTOVERS. A symbolic link to a directory is followed.

    Args:
        path: the directory.
        marker: the file that tells, e.g. "config.yaml".
        what: what the marker makes of it, for messages, e.g. "a run".

    Raises:
        InputError: for something other than a directory, a path that cannot be looked up, or foreign content.
    """
    present = _entries(path, what)
    if marker in present:
        return True
    if strange := [name for name in present if not any(fnmatch(name, pattern) for pattern in LEFTOVERS)]:
        raise InputError(f"{path} is not the directory of {what}: it holds {strange[0]!r} and no {marker}")
    return False


def claim(
    path: Path, marker: str, content: bytes, *, owned: Sequence[str] = (), what: str = "a run", overwrite: bool = False
) -> bool:
    """Make the directory and write its marker; True if it is new, False if the marker was there and stays.

    Args:
        path: the directory; its parents are made too.
        marker: as :func:`holds`.
        content: what the marker holds.
        owned: names that belong to it; with ``overwrite`` they are removed and the marker is replaced. Nothing else
            in the directory is touched.
        what: as :func:`holds`.
        overwrite: whether to take over a directory that is claimed already, or holds owned names without a marker.

    Raises:
        InputError: as :func:`holds`; InUse if another process works there; CannotWrite if it cannot be made.
    """
    there = marker in _entries(path, what)
    if there and not overwrite:
        return False
    if not there and not (overwrite and set(_entries(path, what)) & {*owned}):
        holds(path, marker, what)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"cannot write to {path}: {error.strerror}") from error
    with lock(path):
        if not overwrite and (path / marker).exists():  # another process was quicker
            return False
        for name in owned:
            if name != marker:  # replaced in one go: a claimed directory is never without its marker
                try:
                    remove(path / name)
                except OSError as error:
                    raise CannotWrite(f"cannot remove {path / name}: {error.strerror}") from error
        write_atomically(path / marker, content)
    return True


def _entries(path: Path, what: str) -> list[str]:
    """The names in a directory, sorted; none if it is not there."""
    require_path(path)
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError as error:
        if path.is_symlink():
            raise InputError(f"{path} is a symbolic link that leads nowhere; {what} needs a directory") from error
        return []
    except NotADirectoryError as error:
        there = "is a file" if os.path.lexists(path) else "cannot be there, as a part of it is a file"
        raise InputError(f"{path} {there}; {what} needs a directory") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
