"""Tables of results as files: CSV always, Parquet where pyarrow is there."""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bimt_tf.errors import InputError

__all__ = ["has_parquet", "require_parquet", "write_table"]

Rows = Sequence[Mapping[str, Any]]


def has_parquet() -> bool:
    """Whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


def require_parquet() -> None:
    """Raise InputError unless Parquet can be written here."""
    if not has_parquet():
        raise InputError("Parquet needs its package: pip install 'bimt_tf[parquet]'")


def write_table(path: Path, rows: Rows) -> list[Path]:
    """Write ``path`` (.csv) and, where pyarrow is there, the same as .parquet; columns in order of appearance.

    A value that a row lacks is an empty cell.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)
    if not has_parquet():
        return [path]
    import pyarrow
    import pyarrow.parquet

    other = path.with_suffix(".parquet")
    arrays = {name: _column([row.get(name) for row in rows]) for name in columns}
    pyarrow.parquet.write_table(pyarrow.table(arrays), temporary)
    os.replace(temporary, other)
    return [path, other]


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: words if there is any word among them, numbers with a point if there is any."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    kind = float if kinds <= {int, float} else str
    return [None if value is None else kind(value) for value in values]
