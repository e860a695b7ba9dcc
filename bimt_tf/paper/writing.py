"""Tables of text as Markdown and CSV, and what stands above them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

from bimt_tf.paper.exhibit import QUICK, EndedRuns
from bimt_tf.runs.atomic import write_atomically

__all__ = ["TextTable", "heading", "write_csv", "write_page"]


class TextTable(NamedTuple):
    """A header and rows of text."""

    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """As a Markdown table; a bar inside a cell is escaped."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
        return "".join(f"| {' | '.join(line)} |\n" for line in escaped)

    def csv(self) -> str:
        """As CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
        return text.getvalue()


def heading(runs: EndedRuns, means: str = "mean ± standard deviation") -> str:
    """How the numbers below were made: command, seeds, what stands for them, whether it is a trial, what has ended."""
    plan = runs.plan
    text = f"bimt reproduce {plan.exhibit.name}: seeds {plan.seeds_spelled}; {means}"
    text += f"; QUICK, 1/{QUICK} of the steps: a trial, no result" if plan.quick else ""
    done, of_runs = len(runs.ended), runs.wanted
    return text + (f"; {done} of {of_runs} runs, the others have not ended" if done < of_runs else "")


def write_page(stem: Path, head: str, table: TextTable) -> list[Path]:
    """Write ``stem``.md, the table under ``head``, and ``stem``.csv.

    Raises:
        CannotWrite: an InputError, if a file cannot be written; the one that was there stays then.
    """
    page = stem.with_name(f"{stem.name}.md")
    write_atomically(page, f"{head}\n\n{table.markdown()}".encode())
    return [page, *write_csv(stem, table)]


def write_csv(stem: Path, table: TextTable) -> list[Path]:
    """Write ``stem``.csv; raises as :func:`write_page`."""
    path = stem.with_name(f"{stem.name}.csv")
    write_atomically(path, table.csv().encode())
    return [path]
