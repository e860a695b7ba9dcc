"""Table 2 of the paper: modularity of every task and method, the paper's beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bimt_tf.config.methods import PAPER_METHODS
from bimt_tf.paper.comparison import mean_and_spread, spell_q
from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.side_by_side import make_pages, side_by_side
from bimt_tf.paper.tables_of_the_paper import QUICK_ROWS, ROWS, Row
from bimt_tf.paper.writing import TextTable

__all__ = ["TABLE_2", "table_2"]

LEGEND = (
    "Newman's Q of the connection graph (residual stream shared), and active weights: above the threshold, on a path."
)


def table_2(runs: EndedRuns) -> TextTable:
    """Q, mean and standard deviation over the seeds."""
    return side_by_side(runs, _theirs, _ours)


def _theirs(row: Row, method: str) -> str | None:
    return spell_q(row.paper_q[method]) if method in row.paper_q else None


def _ours(row: Row, summaries: Sequence[Mapping[str, Any]]) -> str:
    return spell_q(mean_and_spread([summary["modularity_shared"] for summary in summaries]))


def _make(runs: EndedRuns, docs: Path) -> Made:
    return make_pages(runs, docs, table_2(runs), LEGEND)


TABLE_2 = Exhibit("table2", ROWS, ROWS, PAPER_METHODS, SEEDS, _make, quick_rows=QUICK_ROWS)
