"""``bimt reproduce``: the paper's tables and figures from one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, words_of
from bimt_tf.config.methods import METHODS

__all__ = ["reproduce"]

TABLES = ("table1", "table2", "figA1")
"""Targets of which a quick trial has two seeds; the others have few anyway."""

_ON = Parameter(negative=())


def reproduce(
    target: Annotated[str, Parameter(help="what to make: a table or figure of the paper, or our frontier")],
    /,
    *,
    seeds: Annotated[str, Parameter(help="e.g. 0-4 or 0,2,5 [0-4; fig2, figA5: 0; frontier-search: 100-101]")] = "",
    tasks: Annotated[str, Parameter(help="rows, e.g. symbolic-a,s4 [all; figA1: symbolic-a; figA5: symbolic-b]")] = "",
    methods: Annotated[str, Parameter(help=f"some of {', '.join(METHODS)} [all of the target]")] = "",
    quick: Annotated[bool, _ON, Parameter(help="a twentieth of the steps, seeds 0 and 1: a trial, kept apart")] = False,
    no_train: Annotated[bool, _ON, Parameter(help="run nothing: write what the finished runs give")] = False,
    workers: Annotated[int, Parameter(help="runs at once; 0 for one a core", allow_leading_hyphen=True)] = 0,
    out: Annotated[Path | None, Parameter(help="where the runs go [runs/reproduce]")] = None,
    docs: Annotated[Path | None, Parameter(help="where tables and figures go [docs/results]")] = None,
    json: AsJson = False,
) -> None:
    """Make TARGET, running what is missing on all cores.

    table1, table2, fig2, figA1 and figA5 are the paper's; frontier compares methods, by settings of frontier-search.

    Interrupted or killed, the same command goes on; a finished run is not made again, and all targets share the runs.
    """
    from bimt_tf.cli.console.pool_watch import pool_watcher
    from bimt_tf.cli.console.reports import print_json, print_report
    from bimt_tf.paper.plan import plan
    from bimt_tf.paper.reproduce import reproduce as make
    from bimt_tf.sweeps.axes import parse_seeds

    numbers = parse_seeds(seeds) if seeds else (0, 1) if quick and target in TABLES else ()
    rows, chosen = list(words_of(tasks, "--tasks")), list(words_of(methods, "--methods"))
    wanted = plan(target, rows, chosen, numbers, quick)
    out = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    docs = docs or (out / "results" if quick else Path("docs/results"))
    with pool_watcher() as watcher:
        report = make(wanted, out, docs, train=not no_train, workers=workers, watcher=watcher, stage=watcher.stage)
    failed = [(str(each.job.path), each.error or "") for each in report.failed]
    if json:
        print_json({"result": report.line, "files": [str(path) for path in report.files], "failed": dict(failed)})
    else:
        print_report(report.line, report.files, failed)
    if failed:
        sys.exit(1)
