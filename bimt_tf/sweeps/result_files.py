"""Tables and figures of many runs as files: each is written whole, or the file that was there stays as it was.

Tables are CSV always, and Parquet too where pyarrow is installed.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimt_tf.errors import InputError
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.figure_files import image_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["has_parquet", "make_folder", "require_parquet", "write_figure", "write_table"]

Rows = Sequence[Mapping[str, Any]]


def has_parquet() -> bool:
    """Whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


def require_parquet() -> None:
    """Raise InputError unless Parquet can be written here."""
    if not has_parquet():
        raise InputError("Parquet needs its package: pip install 'bimt_tf[parquet]'")


def make_folder(path: Path) -> None:
    """Make a folder and those above it; raises InputError if that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}") from error


def write_table(path: Path, rows: Rows) -> list[Path]:
    """Write ``path`` (.csv) and, where pyarrow is there, the same as .parquet; columns in order of appearance.

    A value that a row lacks is an empty cell.

    Raises:
        CannotWrite: an InputError, if a file cannot be written; the one that was there stays then.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
    files = [path]
    if has_parquet():
        import pyarrow
        import pyarrow.parquet

        content = io.BytesIO()
        arrays = {name: _column([row.get(name) for row in rows]) for name in columns}
        pyarrow.parquet.write_table(pyarrow.table(arrays), content)
        files.append(path.with_suffix(".parquet"))
        write_atomically(files[-1], content.getvalue())
    return files


def write_figure(stem: Path, figure: Figure) -> list[Path]:
    """Write a figure as ``stem``.png and ``stem``.pdf.

    Raises:
        CannotWrite: an InputError, if a file cannot be written; the one that was there stays then.
    """
    files = []
    for suffix in ("png", "pdf"):
        files.append(stem.with_name(f"{stem.name}.{suffix}"))
        write_atomically(files[-1], image_of(figure, suffix))
    return files


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: words if there is any word among them, numbers with a point if there is any."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    kind = float if kinds <= {int, float} else str
    return [None if value is None else kind(value) for value in values]
