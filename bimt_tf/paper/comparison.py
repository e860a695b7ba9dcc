"""Tables 1 and 2 from summaries: the paper's figures and ours side by side, as Markdown and CSV, and who wins.

A spread is the standard deviation over seeds. Ours is *as good* where loss is at most (accuracy, to the digits the
paper prints, at least) the paper's BIMT **and** Q at least its Q; it *beats vanilla* where loss is at most (accuracy at
least) the paper's vanilla and Q above the paper's BIMT.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bimt_tf.paper.tables_of_the_paper import Published, Row

__all__ = ["Table", "RowComparison", "mean_and_spread", "table", "compare_row", "comparison_table"]

Summaries = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""(row name, method) -> summary.json of each seed."""


class Table(NamedTuple):
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


def table(
    which: Literal["table1", "table2"], rows: Sequence[Row], methods: Sequence[str], found: Summaries, seeds: int
) -> Table:
    """Table 1 (loss or accuracy) or Table 2 (modularity, with active weights): a column of the paper, one of ours.

    Accuracies of ours are held out / on the training examples. A cell of fewer than ``seeds`` runs says so.
    """
    header = ["task"]
    for method in methods:
        header += [f"{method}, paper", f"{method}, ours"] if method in rows[0].paper else [f"{method}, ours"]
    if which == "table2":
        header.append("active weights, bimt")
    lines = []
    for row in rows:
        line = [row.label]
        for method in methods:
            theirs = (row.paper if which == "table1" else row.paper_q).get(method)
            if theirs is not None:
                line.append(_spell(row, theirs) if which == "table1" else _spell_q(theirs))
            runs = found.get((row.name, method), ())
            few = f" ({len(runs)} of {seeds} seeds)" if len(runs) < seeds else ""
            line.append(_ours(which, row, runs) + few if runs else "–")
        if which == "table2":
            runs = found.get((row.name, "bimt"), ())
            line.append(_counts(runs) if runs else "–")
        lines.append(line)
    return Table(header, lines)


def compare_row(row: Row, runs: Sequence[Mapping[str, Any]]) -> RowComparison:
    """Compare our BIMT runs of a row with the paper's."""
    ours, q = _measured(row, runs, row.compared), mean_and_spread([run["modularity_shared"] for run in runs])
    return RowComparison(
        row,
        ours,
        q,
        as_good=_at_least(row, ours, row.paper["bimt"]),
        as_modular=q.mean >= row.paper_q["bimt"].mean,
        as_vanilla=_at_least(row, ours, row.paper["vanilla"]),
    )


def comparison_table(found: Sequence[RowComparison]) -> Table:
    """Who wins, row by row."""
    header = ["task", "loss or accuracy, paper", "ours", "", "Q, paper", "ours", "", "paper's vanilla", "reached"]
    lines = []
    for one in found:
        row = one.row
        lines.append(
            [
                row.label,
                _spell(row, row.paper["bimt"]),
                _spell(row, one.ours) + (" (training)" if row.compared == "train" else ""),
                _yes(one.as_good),
                _spell_q(row.paper_q["bimt"]),
                _spell_q(one.ours_q),
                _yes(one.as_modular),
                _spell(row, row.paper["vanilla"]),
                _yes(one.beats_vanilla),
            ]
        )
    return Table(header, lines)


def _measured(row: Row, runs: Sequence[Mapping[str, Any]], part: str) -> Published:
    return mean_and_spread([run[f"{part}_{row.measured}"] for run in runs])


def _at_least(row: Row, ours: Published, theirs: Published) -> bool:
    if row.measured == "loss":
        return ours.mean <= theirs.mean
    return round(100 * ours.mean, row.decimals) >= 100 * theirs.mean


def _ours(which: str, row: Row, runs: Sequence[Mapping[str, Any]]) -> str:
    if which == "table2":
        return _spell_q(mean_and_spread([run["modularity_shared"] for run in runs]))
    if row.measured == "loss":
        return _spell(row, _measured(row, runs, "test"))
    return f"{_spell(row, _measured(row, runs, 'test'))} / {_spell(row, _measured(row, runs, 'train'))}"


def _counts(runs: Sequence[Mapping[str, Any]]) -> str:
    count = mean_and_spread([run["active_weights"] for run in runs])
    spread = "" if count.spread is None else f" ± {count.spread:.0f}"
    return f"{count.mean:.0f}{spread} of {runs[0]['total_weights']:,}"


def _spell(row: Row, found: Published) -> str:
    """A loss as 1.2e-5 ± 3e-6, an accuracy in per cent with two decimals."""
    if row.measured == "loss":
        return f"{found.mean:.1e}" + ("" if found.spread is None else f" ± {found.spread:.1e}")
    spread = "" if found.spread is None else f" ± {100 * found.spread:.2f}"
    return f"{100 * found.mean:.2f}{spread} %"


def _spell_q(found: Published) -> str:
    return f"{found.mean:.3f}" + ("" if found.spread is None else f" ± {found.spread:.3f}")


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
