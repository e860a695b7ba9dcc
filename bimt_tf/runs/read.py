"""Reading a run's files: whatever is wrong with one is a line that names the file and says what to do. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bimt_tf.errors import InputError

__all__ = ["read_bytes", "read_object"]


def read_bytes(path: Path, remedy: str) -> bytes:
    """The content of a file.

    Args:
        path: the file.
        remedy: what to do if it is damaged, e.g. "'bimt resume DIR' writes it again".

    Raises:
        InputError: if it is missing, is no file, or may not be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}; {remedy}") from error


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """What a JSON file holds, which must be an object.

    Raises:
        InputError: as :func:`read_bytes`, or if it is not JSON, or holds anything else.
    """
    content = read_bytes(path, remedy)
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: it is truncated or not JSON; {remedy}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: it holds {json.dumps(found)[:40]}, not an object; {remedy}")
    return found
