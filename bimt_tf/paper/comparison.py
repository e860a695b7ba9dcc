"""Who wins, row by row: our BIMT runs against the paper's numbers; and how such numbers are spelled.

A spread is the standard deviation over seeds. Ours is *as good* where loss is at most (accuracy, to the digits the
paper prints, at least) the paper's BIMT **and** Q at least its Q; it *beats vanilla* where loss is at most (accuracy at
least) the paper's vanilla and Q above the paper's BIMT.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bimt_tf.paper.tables_of_the_paper import Published, Row
from bimt_tf.paper.writing import TextTable

__all__ = [
    "RowComparison", "compare_row", "comparison_table", "mean_and_spread", "measured", "spell_measured", "spell_q",
]  # fmt: skip

Summaries = Sequence[Mapping[str, Any]]
"""summary.json of each seed of one row and method."""


class RowComparison(NamedTuple):
    """Our BIMT against the paper's, on one row."""

    row: Row
    ours: Published
    ours_q: Published
    as_good: bool
    as_modular: bool
    as_vanilla: bool

    @property
    def holds(self) -> bool:
        """At least as good as the paper's BIMT in loss or accuracy, and in modularity."""
        return self.as_good and self.as_modular

    @property
    def beats_vanilla(self) -> bool:
        """At least as good as the paper's vanilla network, and more modular than the paper's BIMT."""
        return self.as_vanilla and self.ours_q.mean > self.row.paper_q["bimt"].mean


def mean_and_spread(values: Sequence[float]) -> Published:
    """Mean and standard deviation; no spread for a single seed."""
    return Published(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def compare_row(row: Row, runs: Summaries) -> RowComparison:
    """Compare our BIMT runs of a row with the paper's."""
    ours, q = measured(row, runs, "test"), mean_and_spread([run["modularity_shared"] for run in runs])
    return RowComparison(
        row,
        ours,
        q,
        as_good=_at_least(row, ours, row.paper["bimt"]),
        as_modular=q.mean >= row.paper_q["bimt"].mean,
        as_vanilla=_at_least(row, ours, row.paper["vanilla"]),
    )


def comparison_table(found: Sequence[RowComparison]) -> TextTable:
    """Who wins, row by row."""
    header = ["task", "loss or accuracy, paper", "ours", "", "Q, paper", "ours", "", "paper's vanilla", "reached"]
    lines = []
    for one in found:
        row = one.row
        lines.append(
            [
                row.label,
                spell_measured(row, row.paper["bimt"]),
                spell_measured(row, one.ours),
                _yes(one.as_good),
                spell_q(row.paper_q["bimt"]),
                spell_q(one.ours_q),
                _yes(one.as_modular),
                spell_measured(row, row.paper["vanilla"]),
                _yes(one.beats_vanilla),
            ]
        )
    return TextTable(header, lines)


def measured(row: Row, runs: Summaries, part: Literal["test", "train"]) -> Published:
    """The row's loss or accuracy over seeds, on held-out (test) or training examples."""
    return mean_and_spread([run[f"{part}_{row.measured}"] for run in runs])


def _at_least(row: Row, ours: Published, theirs: Published) -> bool:
    if row.measured == "loss":
        return ours.mean <= theirs.mean
    return round(100 * ours.mean, row.decimals) >= 100 * theirs.mean


def spell_measured(row: Row, found: Published) -> str:
    """A loss as 1.2e-5 ± 3e-6, an accuracy in per cent with two decimals."""
    if row.measured == "loss":
        return f"{found.mean:.1e}" + ("" if found.spread is None else f" ± {found.spread:.1e}")
    spread = "" if found.spread is None else f" ± {100 * found.spread:.2f}"
    return f"{100 * found.mean:.2f}{spread} %"


def spell_q(found: Published) -> str:
    """A modularity with three decimals."""
    return f"{found.mean:.3f}" + ("" if found.spread is None else f" ± {found.spread:.3f}")


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
