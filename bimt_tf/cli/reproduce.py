"""``bimt reproduce``: the paper's tables and figures from one command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["reproduce"]


@click.command()
@click.argument("target")
@click.option("--seeds", default="", help="e.g. 0-4 or 0,2,5 [0-4; of fig2: 0]")
@click.option("--tasks", default="", help="rows, e.g. symbolic-a,s4 [of the tables: all; of figA1: symbolic-a]")
@click.option("--methods", default="", help="e.g. vanilla,l1,bimt [all five]")
@click.option("--quick", is_flag=True, help="a twentieth of the steps, seeds 0 and 1: a trial, kept apart")
@click.option("--no-train", is_flag=True, help="run nothing: write what the finished runs give")
@click.option("--workers", default=0, help="runs at once [as many as there are cores]")
@click.option("--out", type=click.Path(path_type=Path), help="where the runs go [runs/reproduce]")
@click.option("--docs", type=click.Path(path_type=Path), help="where tables and figures go [docs/results]")
def reproduce(
    target: str,
    seeds: str,
    tasks: str,
    methods: str,
    quick: bool,
    no_train: bool,
    workers: int,
    out: Path | None,
    docs: Path | None,
) -> None:
    """Make TARGET (table1, table2, fig2 or figA1 of the paper), running what is missing on all cores.

    Interrupted or killed, the same command goes on; a finished run is not made again, and all targets share the runs.
    """
    from bimt_tf.cli.console.pool_watch import pool_watcher
    from bimt_tf.cli.console.reports import print_report
    from bimt_tf.paper import reproduce as experiment
    from bimt_tf.sweeps.axes import parse_seeds

    numbers = parse_seeds(seeds) if seeds else (0, 1) if quick and target != "fig2" else ()
    wanted = experiment.plan(target, _words(tasks), _words(methods), numbers, quick)
    out = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    docs = docs or (out / "results" if quick else Path("docs/results"))
    with pool_watcher() as watcher:
        report = experiment.reproduce(
            wanted, out, docs, train=not no_train, workers=workers, watcher=watcher, stage=watcher.stage
        )
    print_report(report.line, report.files, [(str(each.job.path), each.error or "") for each in report.failed])
    if report.failed:
        sys.exit(1)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
