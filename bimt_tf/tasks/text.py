"""Text to learn from: a file, or the source of the installed Python standard library, read where it lies.

The library's text is its top modules (no tests, no packages), sorted by name, one behind the other: the same on every
machine with the same Python. Windows of tokens are views of the one row of tokens; no window is copied before a
batch is drawn.
"""

from __future__ import annotations

import codecs
import functools
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.errors import InputError, require_whole
from bimt_tf.tasks.checks import require_share

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BYTES", "STDLIB", "Corpus", "as_bytes", "as_text", "corpus", "require_text_options", "spaced", "windows",
]  # fmt: skip

STDLIB = "python-stdlib"
BYTES = 256
MOST_BYTES = 4  # of a character in UTF-8


class Corpus(NamedTuple):
    """``tokens`` [n] int64 and what each token is called, by number; a ``unit`` is what a token stands for."""

    tokens: Tensor
    names: tuple[str, ...]
    unit: str


def _read(source: str, most: int) -> bytes:
    """The first ``most`` bytes of a file, or of the standard library for "python-stdlib"; all for 0.

    Raises:
        InputError: if there is no such file, it cannot be read, or it is empty.
    """
    if source == STDLIB:
        folder = Path(sysconfig.get_paths()["stdlib"])
        files = sorted(folder.glob("*.py"), key=lambda path: path.name)
        if not files:
            raise InputError(f"the standard library's source is not in {folder}: give --text FILE")
    else:
        files = [Path(source).expanduser()]
    found = bytearray()
    for path in files:
        try:
            if "\0" in source or (path.exists() and not path.is_file() and not path.is_dir()):
                raise InputError(f"cannot read the text {source!r}: a file is needed")  # a pipe or a device may not end
            with path.open("rb") as file:
                found += file.read(most - len(found) if most else -1)
        except OSError as error:
            hint = f"; {STDLIB} takes the source of Python's standard library" if source != STDLIB else ""
            raise InputError(f"cannot read the text {path}: {error.strerror}{hint}") from error
        if most and len(found) >= most:
            break
    if not found:
        raise InputError(f"the text {source} is empty")
    return bytes(found)


def as_bytes(source: str, most: int) -> Corpus:
    """The first ``most`` bytes of a file or of the standard library, all for 0: 256 tokens.

    Raises:
        InputError: as :func:`_read`.
    """
    import numpy as np
    import torch

    found = np.frombuffer(_read(source, most), dtype=np.uint8)
    return Corpus(torch.from_numpy(found.astype(np.int64)), tuple(map(_byte_name, range(BYTES))), "byte")


def as_text(source: str, most: int) -> str:
    """The first ``most`` characters of a file or of the standard library, all for 0.

    Raises:
        InputError: as :func:`_read`, and if it is not UTF-8.
    """
    read = _read(source, MOST_BYTES * most)
    cut = bool(most) and len(read) == MOST_BYTES * most  # perhaps inside a character, which is not read then
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(read, final=not cut)
    except UnicodeDecodeError as error:
        raise InputError(
            f"the text {source} is not UTF-8 (byte {read[error.start]:#04x} at {error.start}): convert it, or read it "
            "as bytes"
        ) from error
    return text[:most] if most else text


@functools.lru_cache(maxsize=2)
def corpus(source: str, tokens: str, most: int) -> Corpus:
    """A text as characters (the vocabulary is those that occur, sorted) or as bytes (256 tokens).

    Args:
        source: a file, or "python-stdlib".
        tokens: "characters" or "bytes".
        most: how many of them, from the start; 0 for all.

    Raises:
        InputError: as :func:`as_bytes` and :func:`as_text`.
    """
    import numpy as np
    import torch

    if tokens == "bytes":
        return as_bytes(source, most)
    text = as_text(source, most)
    points, numbers = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)
    names = tuple(_name(chr(point)) for point in points)
    return Corpus(torch.from_numpy(numbers.astype(np.int64)), names, "character")


def _name(character: str) -> str:
    """The character if it is a mark of ASCII, else its escape: any font draws it."""
    if character == " ":
        return "space"
    return character if "!" <= character <= "~" else ascii(character)[1:-1]


def _byte_name(byte: int) -> str:
    return _name(chr(byte)) if byte < 128 else f"{byte:02x}"


def require_text_options(context: int, train_share: float, most: int, held_out: int) -> None:
    """Raise InputError for settings of a text's windows that no text could serve."""
    require_whole("context", context)
    require_whole("test_windows", held_out)
    require_whole("max_text", most, at_least=0)
    require_share("train_share", train_share)


def windows(found: Corpus, source: str, context: int, train_share: float, held_out: int) -> tuple[Tensor, Tensor]:
    """Windows [n, context + 1] of a text: all of its beginning, as a view; and at most ``held_out`` of its tail.

    An example of a window is its first ``context`` tokens, and as targets its last ``context``.

    Raises:
        InputError: if one of the two parts is no longer than a window.
    """
    begin = round(len(found.tokens) * train_share)
    train, test = found.tokens[:begin], found.tokens[begin:]
    for name, part in (("training part", train), ("held-out tail", test)):
        if len(part) <= context:
            raise InputError(
                f"the text {source} is too short for a context of {context}: its {name} has {len(part)} {found.unit}s; "
                "give a longer text or a smaller --context"
            )
    apart = test.unfold(0, context + 1, context)
    return train.unfold(0, context + 1, 1), apart[spaced(len(apart), held_out)]


def spaced(n: int, most: int) -> Tensor:
    """At most ``most`` of the numbers below n, evenly spaced."""
    import torch

    return torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).long()
