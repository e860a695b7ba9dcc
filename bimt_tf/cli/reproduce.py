"""``bimt reproduce``: the paper's tables and figures from one command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, words_of
from bimt_tf.config.methods import METHODS

if TYPE_CHECKING:
    from bimt_tf.paper.reproduce import Report
    from bimt_tf.paper.reproduce_all import EndedExhibit

__all__ = ["reproduce"]

ALL = "all"
_ON = Parameter(negative=())


def reproduce(
    target: Annotated[str, Parameter(help="what to make: one of those above, or all")],
    /,
    *,
    seeds: Annotated[str, Parameter(show_default=False, help="e.g. 0-4 or 0,2,5 [those usual for the target]")] = "",
    tasks: Annotated[
        str, Parameter(show_default=False, help="rows, e.g. symbolic-a,s4 [those usual for the target]")
    ] = "",
    methods: Annotated[
        str, Parameter(show_default=False, help=f"some of {', '.join(METHODS)} [all of the target]")
    ] = "",
    quick: Annotated[
        bool, _ON, Parameter(help="a twentieth of the steps, one seed, fewer rows: a trial, kept apart")
    ] = False,
    no_eliminate: Annotated[
        bool, _ON, Parameter(help="networks as trained alone, where a target shows them eliminated too: frontier")
    ] = False,
    no_train: Annotated[bool, _ON, Parameter(help="run nothing: write what the finished runs give")] = False,
    workers: Annotated[int, Parameter(help="runs at once; 0 for one a core", allow_leading_hyphen=True)] = 0,
    out: Annotated[Path | None, Parameter(help="where the runs go [runs/reproduce]")] = None,
    docs: Annotated[Path | None, Parameter(help="where tables and figures go [docs/results]")] = None,
    json: AsJson = False,
) -> None:
    """Make TARGET, running what is missing on all cores.

    The paper's tables are table1 and table2, its figures fig2, fig3 ... figA1 ... (an unknown name lists all). frontier
    compares methods by settings of frontier-search; modularity sets Q beside chance. all makes everything.

    Interrupted or killed, the same command goes on; a finished run is not made again, and all targets share the runs.
    """
    from bimt_tf.cli.console.pool_watch import pool_watcher
    from bimt_tf.paper.exhibits import EXHIBITS
    from bimt_tf.paper.plan import plan
    from bimt_tf.paper.reproduce import reproduce as make
    from bimt_tf.paper.reproduce_all import reproduce_all
    from bimt_tf.sweeps.axes import parse_seeds

    numbers = parse_seeds(seeds) if seeds else ()
    rows, chosen = list(words_of(tasks, "--tasks")), list(words_of(methods, "--methods"))
    out = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    docs = docs or (out / "results" if quick else Path("docs/results"))
    given: dict[str, Any] = {"train": not no_train, "workers": workers}
    if target == ALL:
        _only_whole(rows, chosen, no_eliminate)
        plans = [plan(each.name, seeds=numbers, quick=quick) for each in EXHIBITS]
        with pool_watcher() as watcher:
            ends = reproduce_all(plans, out, docs, watcher=watcher, stage=watcher.stage, **given)
        _print_all(ends, json)
        return
    wanted = plan(target, rows, chosen, numbers, quick, eliminate=not no_eliminate)
    with pool_watcher() as watcher:
        report = make(wanted, out, docs, watcher=watcher, stage=watcher.stage, **given)
    _print_one(report, json)


def _only_whole(rows: Sequence[str], methods: Sequence[str], no_eliminate: bool) -> None:
    from bimt_tf.errors import InputError

    if rows or methods or no_eliminate:
        given = "--tasks" if rows else "--methods" if methods else "--no-eliminate"
        raise InputError(f"{given} is of one target: each of all has rows and methods of its own")


def _print_one(report: Report, json: bool) -> None:
    from bimt_tf.cli.console.reports import print_json, print_report

    failed = [(str(each.job.path), each.error or "") for each in report.failed]
    if json:
        print_json({"result": report.line, "files": [str(path) for path in report.files], "failed": dict(failed)})
    else:
        print_report(report.line, report.files, failed)
    if failed:
        sys.exit(1)


def _print_all(ends: Sequence[EndedExhibit], json: bool) -> None:
    """A line an exhibit, the failed runs, and last how many exhibits there are; exit code 1 if anything failed."""
    from bimt_tf.cli.console.reports import print_exhibits, print_json

    runs = {str(run.job.path): run.error or "" for one in ends if one.report for run in one.report.failed}
    if json:
        results = {one.name: one.report.line for one in ends if one.report}
        files = [str(path) for one in ends if one.report for path in one.report.files]
        print_json({"results": results, "files": files, "failed": runs,
                    "not made": {one.name: one.error for one in ends if one.error}})  # fmt: skip
    else:
        print_exhibits([(one.name, one.report.line if one.report else None, one.error) for one in ends], runs)
    if runs or any(one.error for one in ends):
        sys.exit(1)
