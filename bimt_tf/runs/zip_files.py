"""Runs in a ZIP file: packing one, and opening one that came from anywhere.

What is opened is not trusted: a name that leads out of the folder, a link, an encrypted or doubled entry, or more than
a run can hold is refused before anything is written, and what is written is counted as it comes, whatever the file's
own list says. Only files that a run has are taken; no file of a run needs pickle to be read.
"""

from __future__ import annotations

import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import replacing
from bimt_tf.runs.directory import OWNED

__all__ = ["MOST_BYTES", "is_zip", "kept_with", "packed", "unpacked"]

MOST_BYTES = 4 * 2**30
MOST_FILES = 20_000
CHUNK = 2**20
MARKER = "config.yaml"
DAMAGE = (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, struct.error, zlib.error)
"""What Python's reader says of a damaged file, depending on where."""


def is_zip(path: Path) -> bool:
    """Whether a path is a ZIP file by its content."""
    return path.is_file() and zipfile.is_zipfile(path)


def packed(path: Path, files: Sequence[tuple[str, Path | bytes]]) -> None:
    """Write a ZIP file of (name in it, file or content), with one date for all, so that equal runs pack equally.

    Raises:
        CannotWrite: an InputError, if it cannot be written; the one that was there stays then.
    """
    with replacing(path) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())


def unpacked(path: Path) -> tuple[Path, TemporaryDirectory[str]]:
    """A run's files in a private temporary folder, and what removes it (``cleanup``, or the end of the process).

    Raises:
        InputError: for what is no ZIP file of a run, is damaged, or holds what no run has (the entry is named).
    """
    holder = TemporaryDirectory(prefix="bimt-")
    try:
        with zipfile.ZipFile(path) as archive:
            _take(path, archive, Path(holder.name))
    except InputError:
        holder.cleanup()
        raise
    except DAMAGE as error:
        holder.cleanup()
        raise InputError(f"{path} is damaged or no ZIP file: {' '.join(str(error).split())}") from error
    except BaseException:
        holder.cleanup()
        raise
    return Path(holder.name), holder


def kept_with(run: object, holder: TemporaryDirectory[str]) -> None:
    """Remove the folder when the run that reads it is gone."""
    weakref.finalize(run, holder.cleanup)


def _take(path: Path, archive: zipfile.ZipFile, folder: Path) -> None:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    _require_harmless(path, entries)
    inside = _root(path, entries)
    left = MOST_BYTES
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if not name.is_relative_to(inside):
            continue
        own = name.relative_to(inside)
        if own.parts[0] not in OWNED:
            continue
        target = folder.joinpath(*own.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for chunk in _chunks(archive, entry):
                left -= len(chunk)
                if left < 0:
                    raise InputError(f"{path} holds more than {MOST_BYTES:,} bytes: no run is that large")
                out.write(chunk)


def _require_harmless(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Raise InputError for an entry that no run of ours has."""
    if len(entries) > MOST_FILES:
        raise InputError(f"{path} holds {len(entries):,} files: a run has at most {MOST_FILES:,}")
    if (size := sum(entry.file_size for entry in entries)) > MOST_BYTES:
        raise InputError(f"{path} holds {size:,} bytes, more than {MOST_BYTES:,}: no run is that large")
    seen: set[str] = set()
    for entry in entries:
        name, parts = entry.filename, entry.filename.split("/")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if name in seen:
            raise InputError(f"{path} is not opened: it holds {name!r} twice")
        if "\\" in name or ":" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise InputError(f"{path} is not opened: its entry {name!r} leads out of its folder")
        if kind not in (0, stat.S_IFREG):
            raise InputError(f"{path} is not opened: its entry {name!r} is a link or a device, no file")
        if entry.flag_bits & 1:
            raise InputError(f"{path} is not opened: its entry {name!r} is encrypted")
        seen.add(name)


def _root(path: Path, entries: Sequence[zipfile.ZipInfo]) -> PurePosixPath:
    """The folder inside the file that holds the run: its top, or the one folder at its top."""
    found = [PurePosixPath(entry.filename).parent for entry in entries if entry.filename.split("/")[-1] == MARKER]
    shallow = [parent for parent in found if len(parent.parts) <= 1]
    if not shallow:
        raise InputError(f"{path} is not a run: it has no {MARKER}")
    return min(shallow, key=lambda parent: (len(parent.parts), str(parent)))


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as content:
        while chunk := content.read(CHUNK):
            yield chunk
