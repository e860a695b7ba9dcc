"""IDX files, the format MNIST is published in: a magic number, the sizes of the dimensions, then one byte an entry.

The magic number is 0x08 (bytes) and the number of dimensions: 2049 for labels, 2051 for images; all big-endian. A
gzipped file is known by its content, whatever it is called.
"""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase
from math import prod
from pathlib import Path

import numpy as np

from bimt_tf.errors import InputError

__all__ = ["read_idx"]

GZIP = b"\x1f\x8b"
BYTES = 0x0800  # the magic number of unsigned bytes, less the number of dimensions
SIZE = 4  # bytes of a number in the header
CHUNK = 2**20  # bytes asked for at once: a header may promise any number of them


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """The entries of an IDX file, uint8 [n, *item]: images with ``item`` (28, 28), labels with ().

    Raises:
        InputError: if the file cannot be read, is of another kind or shape, is cut off, or has bytes left over.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            return _read(gzip.GzipFile(fileobj=raw) if packed else raw, path, item)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _read(stream: BufferedIOBase, path: Path, item: tuple[int, ...]) -> np.ndarray:
    dims = 1 + len(item)
    (magic,) = _numbers(_take(stream, path, SIZE, 0))
    if magic != BYTES + dims:
        kinds = {BYTES + 1: " (labels)", BYTES + 3: " (images)"}
        raise InputError(
            f"{path} begins with the magic number {magic}{kinds.get(magic, '')}, expected "
            f"{BYTES + dims}{kinds.get(BYTES + dims, '')}"
        )
    head = SIZE * (1 + dims)
    shape = _numbers(_take(stream, path, head - SIZE, SIZE))
    if shape[1:] != item:
        raise InputError(f"{path} holds items of {_spell(shape[1:])} bytes, expected {_spell(item)}")
    body = _take(stream, path, prod(shape), head)
    if _more(stream, path, head + len(body)):
        raise InputError(f"{path} is longer than the {head + len(body)} bytes that its header promises")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _take(stream: BufferedIOBase, path: Path, count: int, before: int) -> bytearray:
    """The next ``count`` bytes of a file of which ``before`` are read."""
    found = bytearray()
    try:
        while len(found) < count and (chunk := stream.read1(min(count - len(found), CHUNK))):
            found += chunk
    except EOFError:  # the compressed stream ends before its end
        pass
    if len(found) < count:
        raise InputError(f"{path} is truncated: expected {before + count} bytes, found {before + len(found)}")
    return found


def _more(stream: BufferedIOBase, path: Path, length: int) -> bool:
    try:
        return bool(stream.read(1))
    except EOFError as error:
        raise InputError(f"{path} is truncated: its {length} bytes are there, the checksum of gzip is not") from error


def _numbers(text: bytearray) -> tuple[int, ...]:
    return tuple(int.from_bytes(text[i : i + SIZE], "big") for i in range(0, len(text), SIZE))


def _spell(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
