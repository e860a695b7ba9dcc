"""The frontier: held-out loss against active weights, with Q and wiring length, of five methods on four tasks.

Each method has the settings that the search chose for it on other seeds (frontier_search.py): one for its networks as
trained, one for the eliminated ones, often the same. Wiring length is measured after one more placement of the neurons
(``BIMT.swap`` with starts, which changes no function), for all networks alike: else those of methods that move no
neuron would be longer for that reason alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made, Plan, RunKey
from bimt_tf.paper.frontier_points import STATES, State, points_of, typical
from bimt_tf.paper.frontier_search import read_choices
from bimt_tf.paper.frontier_settings import FRONTIER_METHODS, FRONTIER_ROWS, frontier_row, job_of
from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.paper.writing import TextTable, heading, write_csv, write_page
from bimt_tf.pool.job import Job, finished
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.figures.frontier import FrontierCurve

__all__ = ["FRONTIER"]

MEANS = "geometric means of loss and weights, the worst loss, means of Q, wiring length and accuracy"
ALONE = ", as trained"
"""Added to the setting in the key of a run that was not eliminated, beside the one that is to be."""

STARTS = 8  # layouts that the last placement searches from
HEADER = [
    "task", "method", "network", "setting", "seeds", "held-out loss", "worst", "active weights", "Q", "wiring length",
    "held out right", "seconds",
]  # fmt: skip
POINTS = [
    "task",
    "method",
    "network",
    "setting",
    "seed",
    "loss",
    "weights",
    "Q",
    "wiring length",
    "accuracy",
    "seconds",
]


class Network(NamedTuple):
    """One network of the report. ``path``: (weights, held-out loss) of each point of the elimination that led to it."""

    row: str
    method: str
    state: State
    setting: str
    seed: int
    loss: float
    weights: int
    modularity: float | None
    wiring: float
    accuracy: float | None
    seconds: float
    path: tuple[tuple[int, float], ...]


def _seeds(plan: Plan, row: Row) -> tuple[int, ...]:
    """The row's own seeds, unless others are asked for."""
    return frontier_row(row.name).seeds if plan.seeds == SEEDS else plan.seeds


def _states(plan: Plan) -> tuple[State, ...]:
    """Those of the networks that are shown."""
    return STATES if plan.eliminate else ("trained",)


def _own_seeds(plan: Plan) -> str:
    """Which rows have other seeds than the plan, for the page."""
    own = {row.name: _seeds(plan, row) for row in plan.rows if _seeds(plan, row) != plan.seeds}
    return "".join(f"; {name}: seeds {', '.join(map(str, seeds))}" for name, seeds in own.items())


def _jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """A run for each method's and seed's eliminated network, and one for that as trained where its setting differs.

    A run that was made as trained alone (``--no-eliminate``) is taken too, so that what there is can be shown before
    its elimination has ended.
    """
    jobs = {}
    for row in plan.rows:
        where, choices = frontier_row(row.name), read_choices(docs, row.name)
        for seed in _seeds(plan, row):
            for method in plan.methods:
                chosen = choices.get(method, {})
                for state in reversed(_states(plan)):  # a run that is eliminated gives its trained network too
                    key = RunKey(row.name, method, seed, chosen.get(state, ""))
                    if not key.setting or key in jobs:
                        continue
                    jobs[key] = job_of(where, key, out, eliminate=state == "eliminated", quick=plan.quick)
                    alone = job_of(where, key, out, eliminate=False, quick=plan.quick)
                    if state == "eliminated" and chosen.get("trained") == key.setting and finished(alone):
                        jobs[_alone(key)] = alone
    return jobs


def _alone(key: RunKey) -> RunKey:
    return key._replace(setting=f"{key.setting}{ALONE}")


def _make(runs: EndedRuns, docs: Path) -> Made:
    networks = _networks(runs, docs)
    lines = [[*map(str, one[:5]), *map(_cell, one[5:11])] for one in networks]
    files = write_csv(docs / "frontier-seeds", TextTable(POINTS, lines))
    seconds = sum({(one.row, one.method, one.setting, one.seed): one.seconds for one in networks}.values())
    head = (
        f"{heading(runs, MEANS)}{_own_seeds(runs.plan)}. Neurons are placed once more before "
        f"wiring is measured, for all alike. The runs took {seconds:,.0f} s together; the settings are those that "
        "'bimt reproduce frontier-search' chose on other seeds."
    )
    files += write_page(docs / "frontier", head, _table(networks))
    files += _draw(runs, networks, docs)
    return Made(files, f"{len(networks)} networks of {len({one.row for one in networks})} tasks")


def _networks(runs: EndedRuns, docs: Path) -> list[Network]:
    """The chosen networks, by row, method and state."""
    found = []
    for row in runs.plan.rows:
        choices = read_choices(docs, row.name)
        for method in runs.plan.methods:
            for state in _states(runs.plan):
                setting = choices.get(method, {}).get(state)
                for seed in _seeds(runs.plan, row) if setting else ():
                    if network := _network(runs, RunKey(row.name, method, seed, setting or ""), state):
                        found.append(network)
    return found


def _network(runs: EndedRuns, key: RunKey, state: State) -> Network | None:
    """The network of a run; None of one that has not ended, or was not eliminated."""
    from bimt_tf.analysis.wiring_length import wiring_length
    from bimt_tf.runs.load import load_run

    outcome = runs.ended.get(key) or (runs.ended.get(_alone(key)) if state == "trained" else None)
    point = points_of(outcome.summary).get(state) if outcome is not None and outcome.summary else None
    if outcome is None or point is None:
        return None
    run = load_run(outcome.job.path, at="trained" if state == "trained" else "shown")  # what the point's numbers are of
    run.bimt.swap(starts=STARTS)
    path = [(each["weights"], each["test_loss"]) for each in run.elimination] if state == "eliminated" else []
    return Network(
        key.row, key.method, state, key.setting, key.seed, point.loss, point.weights, point.modularity,
        wiring_length(run.bimt).mean, point.accuracy, point.seconds, tuple(path),
    )  # fmt: skip


def _table(networks: Sequence[Network]) -> TextTable:
    lines = []
    for row, method, state in dict.fromkeys((one.row, one.method, one.state) for one in networks):
        own = [one for one in networks if (one.row, one.method, one.state) == (row, method, state)]
        mean = typical(own)  # type: ignore[arg-type]  # a network has all that a point has
        wiring = statistics.fmean(one.wiring for one in own)
        q = "–" if mean.modularity is None else f"{mean.modularity:.3f}"
        numbers = [f"{mean.loss:.1e}", f"{mean.worst:.1e}", f"{mean.weights:.0f}", q, f"{wiring:.3f}"]
        right = "–" if mean.accuracy is None else f"{mean.accuracy:.1%}"
        lines.append([row, method, state, own[0].setting, str(len(own)), *numbers, right, f"{mean.seconds:.0f}"])
    return TextTable(HEADER, lines)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _draw(runs: EndedRuns, networks: Sequence[Network], docs: Path) -> list[Path]:
    from bimt_tf.figures.frontier import FrontierPanel, frontier_figure

    panels = [
        FrontierPanel(row.label.partition(",")[0], curves)
        for row in runs.plan.rows
        if (curves := _curves([one for one in networks if one.row == row.name]))
    ]
    return write_figure(docs / "frontier", frontier_figure(panels)) if panels else []


def _curves(networks: Sequence[Network]) -> list[FrontierCurve]:
    from bimt_tf.figures.frontier import FrontierCurve, FrontierPoint

    kinds = dict.fromkeys((one.method, one.state) for one in networks)
    return [
        FrontierCurve(
            method,
            state == "eliminated",
            [
                FrontierPoint(one.weights, one.loss, math.nan if one.modularity is None else one.modularity, one.wiring)
                for one in networks
                if (one.method, one.state) == (method, state)
            ],
            [one.path for one in networks if (one.method, one.state) == (method, state) and one.path],
        )
        for method, state in kinds
    ]


_ROWS = tuple(each.row for each in FRONTIER_ROWS)
FRONTIER = Exhibit("frontier", _ROWS, _ROWS, FRONTIER_METHODS, SEEDS, _make, _jobs, _ROWS[-1:], both_states=True)
