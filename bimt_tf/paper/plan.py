"""What ``bimt reproduce`` is asked for, checked, and the runs that this takes. No torch at import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bimt_tf.config.methods import METHODS
from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError, unknown
from bimt_tf.paper.exhibit import ELIMINATED, QUICK, Plan, RunKey
from bimt_tf.paper.exhibits import EXHIBITS
from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.pool.job import Job

__all__ = ["jobs_of", "plan"]


def plan(
    name: str,
    rows: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    quick: bool = False,
    eliminate: bool = True,
) -> Plan:
    """Check what is asked for; what is empty takes what is usual for the exhibit.

    Args:
        name: a table or figure, as EXHIBITS has it.
        rows, methods, seeds: names of rows and methods in any order, and seeds.
        quick: runs of a twentieth of the steps, of the first seed and the exhibit's quick rows: a trial.
        eliminate: whether networks are eliminated; False only for an exhibit that shows them before and after it.

    Raises:
        InputError: for an unknown exhibit or method, a row that this exhibit does not have, a seed given twice, or
            ``eliminate`` false where the exhibit has no such choice.
    """
    exhibit = next((each for each in EXHIBITS if each.name == name), None)
    if exhibit is None:
        raise unknown("table or figure", name, [each.name for each in EXHIBITS])
    known = [row.name for row in exhibit.rows]
    for wanted in rows:
        if wanted not in known:
            raise unknown(f"row of {name}", wanted, known)
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds must differ, found {', '.join(map(str, seeds))}")
    if not eliminate and not exhibit.both_states:
        both = " and ".join(each.name for each in EXHIBITS if each.both_states)
        raise InputError(f"only {both} can be made of networks as trained alone, found {name}")
    usual = (exhibit.quick_rows or exhibit.usual_rows) if quick else exhibit.usual_rows
    return Plan(
        exhibit,
        tuple(row for row in exhibit.rows if row.name in rows) if rows else usual,
        tuple(method for method in METHODS if method in methods) if methods else exhibit.methods,
        tuple(seeds) or (exhibit.usual_seeds[:1] if quick else exhibit.usual_seeds),
        quick,
        eliminate,
    )


def jobs_of(wanted: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """The runs of a plan: those of the exhibit's own, or each in OUT/ROW/METHOD-seedN, which all others share.

    Raises:
        InputError: for an exhibit that needs files in ``docs`` which are not there.
    """
    if wanted.exhibit.jobs is not None:
        return wanted.exhibit.jobs(wanted, out, docs)
    rows = {row.name: row for row in wanted.rows}
    return {
        key: Job(
            out / key.row / f"{key.method}-seed{key.seed}", _config(rows[key.row], key.method, key.seed, wanted.quick)
        )
        for key in wanted.keys
    }


def _config(row: Row, method: str, seed: int, quick: bool) -> Config:
    overrides = {section: dict(values) for section, values in row.overrides.items()}
    if method != ELIMINATED:  # the others are shown as they were trained
        overrides.setdefault("training", {})["eliminate"] = False
    if quick:
        steps = make(row.task, row.preset).training.steps // QUICK
        overrides.setdefault("training", {}).update(steps=steps, compile="no")
    return make(row.task, row.preset, method, seed, overrides)
