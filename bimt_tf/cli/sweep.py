"""``bimt sweep TASK``: one task over a grid of settings, methods and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import HELP_GROUPS, AsJson, Preset, value_shown, words_of
from bimt_tf.cli.options import Overrides, task_command
from bimt_tf.config.limits import require_runnable
from bimt_tf.config.methods import METHODS
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import full_name
from bimt_tf.tasks.registry import task as find_task

__all__ = ["SWEEP"]

_SWEEP = HELP_GROUPS["Sweep"]

Axes = Annotated[
    list[str] | None,
    Parameter(
        name="--set", group=_SWEEP, negative=(), **value_shown("FIELD=VALUES"),
        help="a config field (lr, or training.lr) and its values: lr=1e-3,2e-3; lists apart by semicolons: "
        "hidden=20,20;10,10, lam=0:0.001,0.5:0.01;0.003 (repeatable: every combination is run)",
    ),
]  # fmt: skip
Methods = Annotated[str, Parameter(group=_SWEEP, help=f"e.g. l1,bimt of {', '.join(METHODS)}")]
Seeds = Annotated[str, Parameter(group=_SWEEP, help="seeds of every combination: 0-4, or 0,3,7")]
LamFor = Annotated[
    str | None,
    Parameter(
        group=_SWEEP,
        **value_shown("active=N|loss=X"),
        help="search the factor on lambda that gives this, mean of the seeds",
    ),
]
Tolerance = Annotated[float, Parameter(group=_SWEEP, help="relative distance that --lam-for accepts")]
Tries = Annotated[int, Parameter(group=_SWEEP, help="factors that --lam-for tries at most")]
Folder = Annotated[
    Path | None, Parameter(group=HELP_GROUPS["Output and machine"], help="directory of the sweep [sweeps/TASK]")
]
Workers = Annotated[int, Parameter(group=_SWEEP, help="runs at once; 0 for one a core", allow_leading_hyphen=True)]
Backend = Annotated[str, Parameter(group=_SWEEP, help="processes of this machine, or ray")]
Parquet = Annotated[
    bool,
    Parameter(group=_SWEEP, negative=(), help="insist on table.parquet (it is written wherever pyarrow is installed)"),
]


def _sweep(
    task: str,
    overrides: Overrides,
    *,
    set_: Axes = None,
    methods: Methods = "bimt",
    seeds: Seeds = "0",
    lam_for: LamFor = None,
    tolerance: Tolerance = 0.1,
    tries: Tries = 10,
    preset: Preset = None,
    out: Folder = None,
    workers: Workers = 0,
    backend: Backend = "processes",
    parquet: Parquet = False,
    json: AsJson = False,
) -> None:
    """Train TASK over a grid of settings, methods and seeds, into one table and one plot.

    The same command goes on where it was stopped. Options that set a field of the config hold for all runs.
    """
    from bimt_tf.sweeps.axes import Sweep, parse_axis, parse_seeds
    from bimt_tf.sweeps.lambda_search import parse_target
    from bimt_tf.sweeps.sweep import run_sweep

    chosen = words_of(methods, "--methods")
    if not chosen:
        raise InputError(f"--methods names no method (known: {', '.join(METHODS)})")
    wanted = Sweep(
        task=full_name(task),
        preset=preset,
        options={section: values for section, values in overrides.items() if values},
        axes=tuple(parse_axis(task, text) for text in set_ or ()),
        methods=chosen,
        seeds=parse_seeds(seeds),
        target=parse_target(lam_for, tolerance, tries) if lam_for is not None else None,
    )
    for cell in wanted.cells:
        require_runnable(wanted.config(cell, wanted.seeds[0]))
    from bimt_tf.cli.console.pool_watch import pool_watcher
    from bimt_tf.cli.console.reports import print_json, print_sweep, sweep_as_dict

    kind: Literal["processes", "ray"] = backend  # type: ignore[assignment]  # run_sweep judges it
    out = out if out is not None else Path("sweeps") / find_task(task).name
    with pool_watcher() as watcher:
        result = run_sweep(wanted, out, workers=workers, backend=kind, parquet=parquet, watcher=watcher)
    if json:
        print_json(sweep_as_dict(result))
    else:
        print_sweep(result)


SWEEP = task_command("sweep", _sweep)
