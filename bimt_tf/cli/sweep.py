"""``bimt sweep``: one task over a grid of settings, methods and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bimt_tf.cli.options import config_options, overrides_of
from bimt_tf.errors import InputError

__all__ = ["sweep"]


@click.command()
@click.argument("task")
@click.option(
    "--set", "axes", multiple=True, metavar="FIELD=VALUES",
    help="a config field (lr, or training.lr) and its values: lr=1e-3,2e-3; lists apart by semicolons: "
    "hidden=20,20;10,10, lam=0:0.001,0.5:0.01;0.003 (repeatable: every combination is run)",
)  # fmt: skip
@click.option(
    "--methods", default="bimt", show_default=True, help="e.g. l1,bimt of vanilla, l1, l1-local, l1-swap, bimt"
)
@click.option("--seeds", default="0", show_default=True, help="seeds of every combination: 0-4, or 0,3,7")
@click.option(
    "--lam-for", metavar="active=N|loss=X", help="search the factor on lambda that gives this, mean of the seeds"
)
@click.option(
    "--tolerance", type=float, default=0.1, show_default=True, help="relative distance that --lam-for accepts"
)
@click.option("--tries", type=int, default=10, show_default=True, help="factors that --lam-for tries at most")
@click.option("--preset", help="settings to start from: best (default), paper, notebook")
@click.option("--out", type=click.Path(path_type=Path), help="directory of the sweep [sweeps/TASK]")
@click.option("--workers", type=int, default=0, show_default=True, help="runs at once; 0 for one a core")
@click.option("--backend", default="processes", show_default=True, help="processes of this machine, or ray")
@click.option("--parquet", is_flag=True, help="insist on table.parquet (it is written wherever pyarrow is installed)")
def sweep(
    task: str,
    axes: Sequence[str],
    methods: str,
    seeds: str,
    lam_for: str | None,
    tolerance: float,
    tries: int,
    preset: str | None,
    out: Path | None,
    workers: int,
    backend: str,
    parquet: bool,
    **given: Any,
) -> None:
    """Train TASK over a grid of settings, methods and seeds, into one table and one plot.

    The same command goes on where it was stopped. The options of bimt train that set a config field hold for all runs.
    """
    from bimt_tf.sweeps.axes import Sweep, parse_axis, parse_seeds
    from bimt_tf.sweeps.lambda_search import parse_target
    from bimt_tf.sweeps.sweep import run_sweep

    overrides = {section: values for section, values in overrides_of(task, given).items() if values}
    wanted = Sweep(
        task=task,
        preset=preset,
        options=overrides,
        axes=tuple(parse_axis(task, text) for text in axes),
        methods=_methods(methods),
        seeds=parse_seeds(seeds),
        target=parse_target(lam_for, tolerance, tries) if lam_for is not None else None,
    )
    from bimt_tf.cli.console.pool_watch import pool_watcher
    from bimt_tf.cli.console.reports import print_sweep

    with pool_watcher() as watcher:
        result = run_sweep(
            wanted,
            out if out is not None else Path("sweeps") / task,
            workers=workers,
            backend=backend,  # type: ignore[arg-type]  # checked there
            parquet=parquet,
            watcher=watcher,
        )
    print_sweep(result)


config_options(sweep)


def _methods(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise InputError("--methods names no method")
    return found
