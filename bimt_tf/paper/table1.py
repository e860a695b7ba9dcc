"""Table 1 of the paper: test loss or accuracy of every task and method, the paper's beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bimt_tf.config.methods import PAPER_METHODS
from bimt_tf.paper.comparison import measured, spell_measured
from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.side_by_side import make_pages, side_by_side
from bimt_tf.paper.tables_of_the_paper import QUICK_ROWS, ROWS, Row
from bimt_tf.paper.writing import TextTable

__all__ = ["TABLE_1", "table_1"]

LEGEND = "Test loss, or accuracy on held-out / training examples. The paper's accuracies are one number each."


def table_1(runs: EndedRuns) -> TextTable:
    """Losses, and accuracies held out / on the training examples: mean and standard deviation over the seeds."""
    return side_by_side(runs, _theirs, _ours)


def _theirs(row: Row, method: str) -> str | None:
    return spell_measured(row, row.paper[method]) if method in row.paper else None


def _ours(row: Row, summaries: Sequence[Mapping[str, Any]]) -> str:
    held_out = spell_measured(row, measured(row, summaries, "test"))
    if row.measured == "loss":
        return held_out
    return f"{held_out} / {spell_measured(row, measured(row, summaries, 'train'))}"


def _make(runs: EndedRuns, docs: Path) -> Made:
    return make_pages(runs, docs, table_1(runs), LEGEND)


TABLE_1 = Exhibit("table1", ROWS, ROWS, PAPER_METHODS, SEEDS, _make, quick_rows=QUICK_ROWS)
