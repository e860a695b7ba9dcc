"""The frontier's search: four settings of every method on seeds 100 and 101, and which of them the report takes.

The rule, for networks as trained and for eliminated ones apart: of the settings whose held-out loss (geometric mean of
the seeds) is at most the row's bound, the one with the fewest active weights, of those within a hundredth of these the
one of the lowest loss; if none is, the one of the lowest loss of all.
Where a row's search eliminates no networks (``FrontierRow.search_eliminates``), the first choice is also the second.
The choice goes to DOCS/frontier-search-ROW.json, which the report reads, with a page of all settings beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import EndedRuns, Exhibit, Made, Plan, RunKey
from bimt_tf.paper.frontier_points import STATES, Point, State, Typical, points_of, typical
from bimt_tf.paper.frontier_settings import (
    FRONTIER_METHODS,
    FRONTIER_ROWS,
    SEARCH_SEEDS,
    FrontierRow,
    frontier_row,
    job_of,
    settings_of,
)
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.pool.job import Job
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.read import read_object

__all__ = ["FRONTIER_SEARCH", "Choices", "choose", "read_choices"]

Choices = Mapping[str, Mapping[State, str]]
"""Method -> state of the network -> the setting that was chosen for it."""

EQUAL = 0.01
"""Weights that differ by no more than this share are equally many: settings of one density differ by one or two."""

MEANS = "geometric means of loss and weights, mean of Q"
HEADER = ["method", "setting", "network", "seeds", "held-out loss", "active weights", "Q", "seconds", "chosen"]


def choose(tried: Mapping[str, Typical], bound: float) -> str | None:
    """The setting that the rule (module docstring) takes; None of none."""
    if not tried:
        return None
    learned = {name: one for name, one in tried.items() if one.loss <= bound}
    if learned:
        fewest = min(one.weights for one in learned.values())
        tried = {name: one for name, one in learned.items() if one.weights <= (1 + EQUAL) * fewest}
    return min(tried, key=lambda name: tried[name].loss)


def read_choices(docs: Path, name: str) -> Choices:
    """What the search of a row chose.

    Raises:
        InputError: if it was not made yet, or its file is damaged.
    """
    path = _file(docs, name)
    command = f"'bimt reproduce frontier-search --tasks {name}'"
    if not path.exists():
        raise InputError(f"there is no {path}: {command} chooses the settings that the report takes")
    remedy = f"remove it, and {command} writes it again"
    chosen = read_object(path, remedy).get("chosen")
    try:
        assert isinstance(chosen, dict) and all(set(each) <= set(STATES) for each in chosen.values())
    except (AssertionError, TypeError) as error:
        raise InputError(f"{path} is damaged: it holds no choice of settings; {remedy}") from error
    return chosen


def _file(docs: Path, name: str) -> Path:
    return docs / f"frontier-search-{name}.json"


def _jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """Every setting of every method; where it is eliminated at its end, the same run gives both networks."""
    keys = [
        RunKey(row.name, method, seed, setting.name)
        for row in plan.rows
        for seed in plan.seeds
        for method in plan.methods
        for setting in settings_of(frontier_row(row.name), method)
    ]
    jobs = {}
    for key in keys:
        where = frontier_row(key.row)
        eliminate = plan.eliminate and where.search_eliminates
        jobs[key] = job_of(where, key, out, eliminate=eliminate, quick=plan.quick)
    return jobs


def _make(runs: EndedRuns, docs: Path) -> Made:
    files: list[Path] = []
    said = []
    for each in runs.plan.rows:
        row = frontier_row(each.name)
        found = _found(runs, row)
        if not found:  # what an earlier search chose stays
            continue
        chosen = {method: _chosen(found, method, row) for method in runs.plan.methods}
        files.append(_keep(runs, row, {method: choice for method, choice in chosen.items() if choice}, docs))
        files += write_page(docs / f"frontier-search-{each.name}", _head(runs, row), _table(runs, found, chosen))
        said.append(f"{each.name}: {sum(map(bool, chosen.values()))} methods")
    return Made(files, f"settings chosen of {'; '.join(said)}" if said else "no run has ended: nothing is chosen")


def _keep(runs: EndedRuns, row: FrontierRow, chosen: Choices, docs: Path) -> Path:
    """Write the choices; what the same search chose before, of other methods or as trained alone, stays."""
    path, name = _file(docs, row.row.name), row.row.name
    heads: dict[str, Any] = {
        "row": name, "seeds": list(runs.plan.seeds), "bound": row.bound, "budget": row.budget, "steps": row.steps,
        "quick": runs.plan.quick,
    }  # fmt: skip
    before: Choices = {}
    if path.exists():
        there = read_object(path, "remove it")
        if all(there.get(head) == value for head, value in heads.items()):
            before = read_choices(docs, name)
    both = {method: {**before.get(method, {}), **chosen.get(method, {})} for method in {**before, **chosen}}
    write_atomically(path, (json.dumps({**heads, "chosen": both}, indent=2) + "\n").encode())
    return path


Found = dict[tuple[str, str, State], list[Point]]
"""(method, setting, state) -> the points of its seeds."""


def _found(runs: EndedRuns, row: FrontierRow) -> Found:
    found: Found = {}
    for method in runs.plan.methods:
        for setting in settings_of(row, method):
            for seed in runs.plan.seeds:
                outcome = runs.ended.get(RunKey(row.row.name, method, seed, setting.name))
                if outcome is not None and outcome.summary is not None:
                    for state, point in points_of(outcome.summary).items():
                        found.setdefault((method, setting.name, state), []).append(point)
    return found


def _of(found: Found, method: str, state: State) -> dict[str, Typical]:
    return {key[1]: typical(points) for key, points in found.items() if (key[0], key[2]) == (method, state)}


def _chosen(found: Found, method: str, row: FrontierRow) -> dict[State, str]:
    """By the rule of the module's text."""
    names = {state: choose(_of(found, method, state), row.bound) for state in STATES}
    if not row.search_eliminates:
        names = dict.fromkeys(STATES, names["trained"])
    return {state: name for state, name in names.items() if name}


def _head(runs: EndedRuns, row: FrontierRow) -> str:
    ended = (one.summary for key, one in runs.ended.items() if key.row == row.row.name and one.summary is not None)
    seconds = sum(max(point.seconds for point in points_of(summary).values()) for summary in ended)
    ending = f"elimination up to a training loss of {row.budget:g}" if runs.plan.eliminate else "as trained alone"
    if not row.search_eliminates:
        ending = "as trained alone, and the setting chosen is also the one whose networks are eliminated in the report"
    return (
        f"{heading(runs, MEANS)}. {row.row.label}: {row.steps:,} steps, {ending}. Chosen: the fewest active weights "
        f"at a held-out loss of at most {row.bound:g}, else the lowest loss. The runs took {seconds:,.0f} s together."
    )


def _table(runs: EndedRuns, found: Found, chosen: Choices) -> TextTable:
    lines = []
    for (method, setting, state), points in found.items():
        one = typical(points)
        mark = "yes" if chosen[method].get(state) == setting else ""
        q = "–" if one.modularity is None else f"{one.modularity:.3f}"
        numbers = [str(len(points)), f"{one.loss:.1e}", f"{one.weights:.0f}", q, f"{one.seconds:.0f}"]
        lines.append([method, setting, state, *numbers, mark])
    return TextTable(HEADER, lines)


_ROWS = tuple(each.row for each in FRONTIER_ROWS)
FRONTIER_SEARCH = Exhibit(
    "frontier-search", _ROWS, _ROWS, FRONTIER_METHODS, SEARCH_SEEDS, _make, _jobs, _ROWS[-1:], both_states=True
)
