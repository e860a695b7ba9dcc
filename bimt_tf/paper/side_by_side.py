"""Tables 1 and 2: the paper's numbers and ours side by side, and what is written with either of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bimt_tf.paper.comparison import compare_row, comparison_table, mean_and_spread
from bimt_tf.paper.exhibit import ELIMINATED, EndedRuns, Made
from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

__all__ = ["SpellCell", "as_trained", "claims_table", "make_pages", "side_by_side"]

SpellSeeds = Callable[[Sequence[Mapping[str, Any]]], str]
SpellCell = Callable[[Row, Sequence[Mapping[str, Any]]], str]
"""A row and summary.json of each of its seeds -> what a cell says."""


def side_by_side(runs: EndedRuns, theirs: Callable[[Row, str], str | None], ours: SpellCell) -> TextTable:
    """A row a task; for each method a column of ours, beside one of the paper's where the paper has that method.

    Runs that were eliminated are shown as they were trained, and once more after it; then what their networks cost.

    Args:
        runs: those that have ended; a cell of fewer than the wanted seeds says so, and one of none is a dash.
        theirs: a row and a method -> the paper's cell, None for a method that the paper does not have.
        ours: our cell.
    """
    plan = runs.plan
    header = ["task"]
    for method in plan.methods:
        header += [f"{method}, paper"] * (theirs(plan.rows[0], method) is not None) + [f"{method}, ours"]
    if ELIMINATED in plan.methods:
        header += [f"{ELIMINATED} + elimination, ours", *(f"{name}, {ELIMINATED}" for name in COSTS)]
    lines = []
    for row in plan.rows:
        after = partial(ours, row)
        before = partial(_as_trained, after)
        line = [row.label]
        for method in plan.methods:
            if (cell := theirs(row, method)) is not None:
                line.append(cell)
            line.append(_cell(runs, row, method, before))
        if ELIMINATED in plan.methods:
            line.append(_cell(runs, row, ELIMINATED, after, eliminated=True))
            line += [_cell(runs, row, ELIMINATED, spell) for spell in COSTS.values()]
        lines.append(line)
    return TextTable(header, lines)


def as_trained(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """A summary with the numbers of the network as it was trained, before its elimination."""
    return {**summary, **summary.get("trained", {})}


def _as_trained(spell: SpellSeeds, found: Sequence[Mapping[str, Any]]) -> str:
    return spell([*map(as_trained, found)])


def _cell(
    runs: EndedRuns,
    row: Row,
    method: str,
    spell: SpellSeeds,
    eliminated: bool = False,
) -> str:
    found = [one for one in runs.summaries(row.name, method) if "elimination" in one or not eliminated]
    few = f" ({len(found)} of {len(runs.plan.seeds)} seeds)" if len(found) < len(runs.plan.seeds) else ""
    return spell(found) + few if found else "–"


def _before_and_after(name: str, digits: str) -> SpellSeeds:
    """A number of the networks as trained, and after their elimination if they had one."""

    def spell(found: Sequence[Mapping[str, Any]]) -> str:
        before, after = ([one[name] for one in each] for each in ([*map(as_trained, found)], found))
        eliminated = any("elimination" in one for one in found)
        return " → ".join(_spread(values, digits) for values in ([before, after] if eliminated else [before]))

    return spell


def _seconds(found: Sequence[Mapping[str, Any]]) -> str:
    """Seconds of training, and of the elimination if there was one."""
    parts = [[one["seconds"] for one in found]]
    if all("elimination" in one for one in found):
        parts.append([one["elimination"]["seconds"] for one in found])
    return " + ".join(_spread(values, ".0f") for values in parts)


def _spread(values: Sequence[float], digits: str) -> str:
    found = mean_and_spread(values)
    return f"{found.mean:{digits}}" + ("" if found.spread is None else f" ± {found.spread:{digits}}")


COSTS = {
    "active weights": _before_and_after("active_weights", ".0f"),
    "mean wiring length": _before_and_after("wiring_length", ".3f"),
    "seconds": _seconds,
}
"""What the networks of bimt cost: column -> how its cell is spelled."""


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
    if (claims := claims_table(runs)).rows:
        files += write_page(docs / "claims", f"The paper's qualitative claims, computed ({head}).", claims)
    return Made([*files, *_draw_networks(runs, docs)], line)


def claims_table(runs: EndedRuns) -> TextTable:
    """The claims about the tasks of a plan's rows, each checked on every seed's network of bimt."""
    from bimt_tf.paper.claims import CLAIMS

    lines = []
    for claim, row in [(claim, row) for claim in CLAIMS for row in runs.plan.rows if row.task == claim.task]:
        findings = [claim.check(runs.open(row.name, "bimt", seed)) for seed in runs.seeds(row.name, "bimt")]
        if findings:
            count = sum(finding.holds for finding in findings)
            in_every_seed = "true" if count == len(findings) else "false"
            numbers = "; ".join(finding.numbers for finding in findings)
            lines.append([row.name, claim.text, in_every_seed, f"{count} of {len(findings)}", numbers])
    return TextTable(["task", "claim", "in every seed", "seeds", "by seed"], lines)


def _draw_networks(runs: EndedRuns, docs: Path) -> list[Path]:
    """The counted rows' networks, of bimt and the first seed, without weights that are not active."""
    from bimt_tf.figures.network import network_figure

    files, seed = [], runs.plan.seeds[0]
    for row in runs.plan.rows:
        if row.counted and runs.has(row.name, "bimt", seed):
            run = runs.open(row.name, "bimt", seed)
            labels, title = run.task.labels(run.config.data), f"{row.label} · bimt · seed {seed}"
            figure = network_figure(run.bimt, threshold=run.threshold, labels=labels, title=title)
            files += write_figure(docs / f"network-{row.name}", figure)
    return files
