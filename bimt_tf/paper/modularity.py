"""Modularity against chance and against L1: z of every task's networks by three null models, and matched L1 runs.

The networks are those of the tables (OUT/ROW/bimt-seedN). Beside them stand L1 runs of the same preset
(OUT/modularity/ROW/l1-seedN), whose lambda is the preset's times a factor for which, on seed 100, they ended with about
as many weights; where the preset eliminates, so do they, to the same loss, and the point of each path counts that is
nearest to the networks' mean number of weights.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config
from bimt_tf.paper.exhibit import QUICK, SEEDS, EndedRuns, Exhibit, Made, Plan, RunKey
from bimt_tf.paper.tables_of_the_paper import QUICK_ROWS, ROWS, Row
from bimt_tf.paper.writing import TextTable, heading, write_csv, write_page
from bimt_tf.pool.job import Job
from bimt_tf.sweeps.lambda_search import scaled

if TYPE_CHECKING:
    from bimt_tf.analysis.matched import Other
    from bimt_tf.analysis.null_models import NullComparison

__all__ = ["LAMBDA_FACTORS", "MODULARITY"]

LAMBDA_FACTORS = {
    "in-context": 1.0,
    "modular-addition": 4.0,
    "s4": 2.0,
    "digits": 2.0,
    "symbolic-a": 4.0,
    "symbolic-b": 1.0,
    "symbolic-c": 2.0,
    "two-moon": 8.0,
}
"""Row -> what L1's lambda is of the preset's: of 1, 2 and 4 the one that came nearest in weights on seed 100; for
two-moon of 1 to 32, since above 8 nothing is learned. In-context is matched by elimination."""

DRAWS = 200
SIGNIFICANT = 0.05
HEADER = ["task", "seeds", "weights", "Q", "z, sizes", "z, swaps", "z, entries", "L1 weights", "L1 Q", "Q less L1's"]
BY_SEED = [
    "task", "method", "seed", "weights", "held-out loss", "Q",
    *(
        f"{what} {null}"
        for null in ("sizes", "swaps", "entries")
        for what in ("mean", "low", "high", "z", "p", "moved")
    ),
]  # fmt: skip
LEGEND = (
    "Q of the connection graph (residual stream shared, weights above the active threshold), mean and standard "
    "deviation over the seeds. z: mean over the seeds (lowest to highest) of how many standard deviations Q lies above "
    f"the mean of {DRAWS} draws of a null model (sizes: |w| shuffled within each tensor; swaps: weights exchange "
    "targets within each tensor, every neuron keeps its number of weights; entries: the entries of each tensor "
    f"shuffled, zeros too), and in how many seeds p is at most {SIGNIFICANT}. L1: runs of the same seeds, preset and "
    "steps, lambda times a factor that matches the number of weights on seed 100; the mean and range of their values. "
    "A network without structure has a z of 0, with deviation 1."
)


class _Network(NamedTuple):
    """A network's numbers. ``nulls`` is empty for L1."""

    row: str
    method: str
    seed: int
    weights: int
    loss: float
    q: float
    nulls: tuple[NullComparison, ...] = ()


def _jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """The runs of the tables by bimt, and L1's own."""
    jobs = {}
    for row in plan.rows:
        for seed in plan.seeds:
            for method in plan.methods:
                folder = out / row.name if method == "bimt" else out / "modularity" / row.name
                jobs[RunKey(row.name, method, seed)] = Job(
                    folder / f"{method}-seed{seed}", _config(row, method, seed, plan)
                )
    return jobs


def _config(row: Row, method: str, seed: int, plan: Plan) -> Config:
    overrides = {section: dict(values) for section, values in row.overrides.items()}
    if plan.quick:
        steps = make(row.task, row.preset).training.steps // QUICK
        overrides.setdefault("training", {}).update(steps=steps, compile="no")
    config = make(row.task, row.preset, method, seed, overrides)
    return scaled(config, LAMBDA_FACTORS.get(row.name, 1.0)) if method == "l1" else config


def _make(runs: EndedRuns, docs: Path) -> Made:
    lines, by_seed, said = [], [], []
    for row in runs.plan.rows:
        own = [_measured(runs, row.name, seed) for seed in runs.seeds(row.name, "bimt")]
        if not own:
            continue
        others = _others(runs, row.name, round(statistics.fmean(one.weights for one in own)))
        lines.append(_line(row, own, others))
        by_seed += [_numbers(one) for one in (*own, *others)]
        if all(sum(null.p <= SIGNIFICANT for null in _of(own, name)) == len(own) for name in ("sizes", "swaps")):
            said.append(row.name)
    files = write_page(docs / "modularity", f"{heading(runs)}.\n\n{LEGEND}", TextTable(HEADER, lines))
    files += write_csv(docs / "modularity-seeds", TextTable(BY_SEED, by_seed))
    return Made(files, f"above chance by sizes and swaps in every seed: {', '.join(said) or 'no task'}")


def _measured(runs: EndedRuns, row: str, seed: int) -> _Network:
    from bimt_tf.analysis.null_models import NULLS, compare_with_null
    from bimt_tf.runs.ask.modules import graph_of

    run = runs.open(row, "bimt", seed)
    graph = graph_of(run)
    nulls = tuple(compare_with_null(graph, null, DRAWS) for null in NULLS)
    return _Network(row, "bimt", seed, graph.number_of_edges(), run.evaluate()["loss"], nulls[0].q, nulls)


def _others(runs: EndedRuns, row: str, weights: int) -> list[_Network]:
    from bimt_tf.runs.ask.modules import other_of
    from bimt_tf.runs.matched_runs import matched_run

    found = []
    for seed in runs.seeds(row, "l1"):
        one: Other = other_of(matched_run(runs.ended[RunKey(row, "l1", seed)].job.path, weights))
        found.append(_Network(row, "l1", seed, one.weights, one.loss, one.q))
    return found


def _line(row: Row, own: Sequence[_Network], others: Sequence[_Network]) -> list[str]:
    qs = [one.q for one in own]
    line = [row.name, str(len(own)), _range([one.weights for one in own], ".0f"), _spread(qs)]
    line += [_z(_of(own, name)) for name in ("sizes", "swaps", "entries")]
    if not others:
        return [*line, "–", "–", "–"]
    theirs = [one.q for one in others]
    difference = statistics.fmean(qs) - statistics.fmean(theirs)
    weights = f"{_range([one.weights for one in others], '.0f')}; {len(others)} runs"
    return [*line, weights, _range(theirs, ".3f"), f"{difference:+.3f}"]


def _of(own: Sequence[_Network], null: str) -> list[NullComparison]:
    return [found for one in own for found in one.nulls if found.null == null]


def _z(found: Sequence[NullComparison]) -> str:
    zs = [one.z for one in found if one.z is not None]
    significant = f"p ≤ {SIGNIFICANT} in {sum(one.p <= SIGNIFICANT for one in found)} of {len(found)}"
    return f"{_range(zs, '+.1f')}; {significant}" if zs else f"no draw differs; {significant}"


def _range(values: Sequence[float], form: str) -> str:
    return f"{statistics.fmean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def _numbers(one: _Network) -> list[str]:
    nulls = [
        "" if value is None else f"{value:.6g}"
        for null in one.nulls
        for value in (null.mean, null.low, null.high, null.z, null.p, null.moved)
    ]
    line = [one.row, one.method, str(one.seed), str(one.weights), f"{one.loss:.6g}", f"{one.q:.6g}", *nulls]
    return line + [""] * (len(BY_SEED) - len(line))


_ROWS = tuple(row for row in ROWS if row.counted)
MODULARITY = Exhibit("modularity", ROWS, _ROWS, ("l1", "bimt"), SEEDS, _make, _jobs, QUICK_ROWS)
