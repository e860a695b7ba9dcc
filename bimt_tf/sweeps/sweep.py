"""A sweep: one task over a grid of config fields, methods and seeds, as one directory with one table and one plot.

    DIR/sweep.yaml   what is swept, complete
    DIR/runs/NAME/   one run directory each, NAME such as bimt-lr0.001-width2.0-seed0
    DIR/table.csv    one row a run, failed ones with their error; table.parquet beside it where pyarrow is there
    DIR/pareto.png, .pdf

No torch at import.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bimt_tf.config.differences import differences
from bimt_tf.config.reading import dump
from bimt_tf.config.values import spelled
from bimt_tf.config.yaml_files import read_yaml, yaml_text, yaml_value
from bimt_tf.errors import InputError
from bimt_tf.pool.backend import check_backend
from bimt_tf.pool.job import Job, Outcome, finished
from bimt_tf.pool.pool import run_jobs
from bimt_tf.pool.watcher import PoolWatcher
from bimt_tf.runs.claim import claim
from bimt_tf.runs.lock import lock
from bimt_tf.sweeps.axes import Cell, Sweep
from bimt_tf.sweeps.lambda_search import Target, Tried, average, judge, next_factor, scaled
from bimt_tf.sweeps.result_files import require_parquet
from bimt_tf.sweeps.results import SweepResult, write_results

__all__ = ["run_sweep"]

LONGEST = 120  # characters of a run's name


def run_sweep(
    sweep: Sweep,
    out: Path,
    *,
    workers: int = 0,
    backend: Literal["processes", "ray"] = "processes",
    parquet: bool = False,
    watcher: PoolWatcher | None = None,
) -> SweepResult:
    """Bring every run of the sweep to its end, then write the table and the plot.

    Args:
        sweep: what is swept.
        out: its directory; the same sweep's goes on where it was stopped.
        workers, backend, watcher: as :func:`bimt_tf.pool.pool.run_jobs` has them.
        parquet: insist on table.parquet.

    Raises:
        InputError: before anything is written, for values the config refuses, a directory of another sweep or of
            something else, or a package that is not there; InUse, one of those, if another process makes this sweep.
        PoolInterrupted: on SIGINT or SIGTERM; the same call goes on.
    """
    check_backend(backend, workers)
    if parquet:
        require_parquet()
    cells = sweep.cells
    jobs = [job for cell in cells for job in _jobs(sweep, cell, out)]  # every config is checked here
    for job in jobs:
        finished(job)
    _claim(out, sweep.described())

    def run(wanted: Sequence[Job]) -> list[Outcome]:
        return run_jobs(wanted, workers=workers, backend=backend, draw=False, watcher=watcher)

    with lock(out):
        if sweep.target is None:
            return write_results(sweep, out, run(jobs), {})
        outcomes, tried = _search(sweep, sweep.target, out, run)
        found = {_name(sweep, cell): judge(sweep.target, one) for cell, one in zip(cells, tried, strict=True)}
        return write_results(sweep, out, outcomes, found)


def _search(
    sweep: Sweep, target: Target, out: Path, run: Callable[[Sequence[Job]], list[Outcome]]
) -> tuple[list[Outcome], list[list[Tried]]]:
    """Every cell's search, a factor a round, the cells side by side: all outcomes, and what each cell tried."""
    tried: list[list[Tried]] = [[] for _ in sweep.cells]
    outcomes: list[Outcome] = []
    while wanted := [(i, factor) for i, one in enumerate(tried) if (factor := next_factor(target, one)) is not None]:
        batches = [_jobs(sweep, sweep.cells[i], out, factor) for i, factor in wanted]
        ended = run([job for batch in batches for job in batch])
        summaries = {outcome.job.path: outcome.summary for outcome in ended}
        for (i, factor), batch in zip(wanted, batches, strict=True):
            gave = [summary for job in batch if (summary := summaries[job.path]) is not None]
            tried[i].append(Tried(factor, average(target, gave)))
        outcomes += ended
    return outcomes, tried


def _name(sweep: Sweep, cell: Cell) -> str:
    axes = zip(sweep.axes, cell.point, strict=True)
    return "-".join([cell.method, *(f"{axis.field}{spelled(value)}" for axis, value in axes)])


def _jobs(sweep: Sweep, cell: Cell, out: Path, factor: float = 1.0) -> list[Job]:
    """One run a seed of a cell, lambda times ``factor`` if there is a target."""
    jobs = []
    for seed in sweep.seeds:
        config, name = sweep.config(cell, seed), _name(sweep, cell)
        if sweep.target is not None:
            config, name = scaled(config, factor), f"{name}-lam_x{factor:.5g}"
        name = re.sub(r"[^A-Za-z0-9_.=+-]", "_", f"{name}-seed{seed}")
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 10]}-{hashlib.sha256(dump(config).encode()).hexdigest()[:8]}"
        jobs.append(Job(out / "runs" / name, config))
    return jobs


def _claim(out: Path, described: Mapping[str, Any]) -> None:
    """Make the sweep's directory, or find that it is this sweep's already."""
    content = yaml_text(dict(described))
    if claim(out, "sweep.yaml", content.encode(), what="a sweep"):
        return
    there = read_yaml(out / "sweep.yaml", "the description of the sweep")
    wanted = yaml_value(content)
    if there != wanted:
        name, found, asked = next(differences(there, wanted), ("sweep.yaml", there, wanted))
        raise InputError(f"{out} holds another sweep: {name} is {found!r} there, {asked!r} here; give another --out")
