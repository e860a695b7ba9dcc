"""Tables 1 and 2: the paper's numbers and ours side by side, and what is written with either of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bimt_tf.paper.comparison import compare_row, comparison_table
from bimt_tf.paper.exhibit import EndedRuns, Made
from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

__all__ = ["SpellCell", "make_pages", "side_by_side"]

SpellCell = Callable[[Row, Sequence[Mapping[str, Any]]], str]
"""A row and summary.json of each of its seeds -> what a cell says."""


def side_by_side(runs: EndedRuns, theirs: Callable[[Row, str], str | None], ours: SpellCell) -> TextTable:
    """A row a task; for each method a column of ours, beside one of the paper's where the paper has that method.

    Args:
        runs: those that have ended; a cell of fewer than the wanted seeds says so, and one of none is a dash.
        theirs: a row and a method -> the paper's cell, None for a method that the paper does not have.
        ours: our cell.
    """
    plan = runs.plan
    header = ["task"]
    for method in plan.methods:
        header += [f"{method}, paper"] * (theirs(plan.rows[0], method) is not None) + [f"{method}, ours"]
    lines = []
    for row in plan.rows:
        line = [row.label]
        for method in plan.methods:
            if (cell := theirs(row, method)) is not None:
                line.append(cell)
            found = runs.summaries(row.name, method)
            few = f" ({len(found)} of {len(plan.seeds)} seeds)" if len(found) < len(plan.seeds) else ""
            line.append(ours(row, found) + few if found else "–")
        lines.append(line)
    return TextTable(header, lines)


def make_pages(runs: EndedRuns, docs: Path, table: TextTable, legend: str) -> Made:
    """Write the table, who wins, the paper's claims, and the networks of bimt."""
    name, head = runs.plan.exhibit.name, heading(runs)
    found = [(row, runs.summaries(row.name, "bimt")) for row in runs.plan.rows]
    compared = [compare_row(row, summaries) for row, summaries in found if summaries]
    counted = [one for one in compared if one.row.counted]
    line = (
        f"BIMT as good and as modular as the paper's: {sum(one.holds for one in counted)} of {len(counted)} rows; "
        f"as good as its vanilla and more modular than its BIMT: {sum(one.beats_vanilla for one in counted)} "
        f"of {len(counted)}"
    )
    files = write_page(docs / name, f"{head}.\n\n{legend}", table)
    if compared:
        files += write_page(docs / "comparison", f"**{line}.**\n\n({head}.)", comparison_table(compared))
    if (claims := _claims_table(runs)).rows:
        files += write_page(docs / "claims", f"The paper's qualitative claims, computed ({head}).", claims)
    return Made([*files, *_draw_networks(runs, docs)], line)


def _claims_table(runs: EndedRuns) -> TextTable:
    from bimt_tf.paper.claims import CLAIMS

    lines = []
    for claim in CLAIMS:
        findings = [
            claim.check(runs.open(claim.row, "bimt", seed))
            for seed in runs.seeds(claim.row, "bimt")
        ]  # fmt: skip
        if findings:
            count = sum(finding.holds for finding in findings)
            in_every_seed = "true" if count == len(findings) else "false"
            numbers = "; ".join(finding.numbers for finding in findings)
            lines.append([claim.row, claim.text, in_every_seed, f"{count} of {len(findings)}", numbers])
    return TextTable(["task", "claim", "in every seed", "seeds", "by seed"], lines)


def _draw_networks(runs: EndedRuns, docs: Path) -> list[Path]:
    """The counted rows' networks, of bimt and the first seed, without weights that are not active."""
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.figures.network import network_figure

    files, seed = [], runs.plan.seeds[0]
    for row in runs.plan.rows:
        if row.counted and runs.has(row.name, "bimt", seed):
            run = runs.open(row.name, "bimt", seed)
            graph = connection_graph(run.bimt, "unrolled", run.config.training.active)
            labels, title = run.task.labels(run.config.data), f"{row.label} · bimt · seed {seed}"
            figure = network_figure(graph, run.bimt.wiring, labels=labels, title=title)
            files += write_figure(docs / f"network-{row.name}", figure)
    return files
