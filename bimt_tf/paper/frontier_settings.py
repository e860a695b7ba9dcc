"""What the frontier compares: its tasks, and four settings of each method, one of which a search chooses.

Every method has the same steps on a task, and the same training loss up to which its network may be eliminated. No
torch at import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bimt_tf.config.reading import make, overlaid
from bimt_tf.config.schedules import curve, spell_schedule
from bimt_tf.config.schedules import scaled as scaled_schedule
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import QUICK, SEEDS, RunKey
from bimt_tf.paper.tables_of_the_paper import Row, row
from bimt_tf.pool.job import Job
from bimt_tf.sweeps.lambda_search import scaled

__all__ = [
    "FRONTIER_METHODS", "FRONTIER_ROWS", "SEARCH_SEEDS", "FrontierRow", "Setting", "frontier_row", "job_of",
    "settings_of",
]  # fmt: skip

FRONTIER_METHODS = ("vanilla", "l1", "magnitude", "topk", "bimt")
SEARCH_SEEDS = (100, 101)


class FrontierRow(NamedTuple):
    """A task of the frontier.

    Attributes:
        row: its row of the tables, whose data it has.
        steps: of every run.
        bound: held-out loss up to which a setting's networks count as having learned the task.
        budget: training loss up to which networks are eliminated.
        densities: shares of all weights that magnitude and topk try to leave.
        decay: weight decay of magnitude and topk, where nothing generalises without one; None for the preset's.
        validation_share: of the training examples, split off to guard the elimination.
        seeds: of the report, where no others are asked for.
    """

    row: Row
    steps: int
    bound: float
    budget: float
    densities: tuple[float, float, float, float]
    decay: float | None = None
    validation_share: float = 0.0
    seeds: tuple[int, ...] = SEEDS


FRONTIER_ROWS = (
    FrontierRow(row("in-context"), 10_000, 7.8e-5, 2e-5, (0.06, 0.03, 0.015, 0.008)),
    FrontierRow(row("modular-addition"), 16_000, 5e-2, 1e-2, (0.12, 0.06, 0.04, 0.025), 0.3, validation_share=0.1),
    FrontierRow(row("s4"), 40_000, 1e-1, 1e-2, (0.08, 0.05, 0.03, 0.02), validation_share=0.1, seeds=(5, 6, 7, 8, 9)),
    FrontierRow(row("symbolic-b"), 10_000, 1.1e-5, 3e-6, (0.3, 0.2, 0.12, 0.08)),
)
"""Bounds of the regressions are the losses of the paper's vanilla networks; S4's seeds 0 to 4 were looked at before."""


class Setting(NamedTuple):
    """One of a method's settings: its name, and what it makes of the task's config."""

    name: str
    apply: Callable[[Config], Config]


def frontier_row(name: str) -> FrontierRow:
    """The row of the frontier with this name of the tables."""
    return next(each for each in FRONTIER_ROWS if each.row.name == name)


def settings_of(where: FrontierRow, method: str) -> tuple[Setting, ...]:
    """The four settings of a method on a task.

    vanilla: the preset's rates, half of these, and these with weight decay .03 or .3. l1, bimt: factors on
    the preset's whole lambda, which was found for bimt; so that l1's weights, which pay the layer gap y_star alone, pay
    as much as bimt's at the mean distance of two places, A/3 + y_star, l1's factors are larger by the ratio of the two.
    magnitude, topk: the row's densities, with its weight decay.
    """
    if method == "vanilla":
        return (
            Setting("as the preset", lambda config: config),
            Setting("rates x0.5", _slower),
            *(Setting(f"decay {decay:g}", _trained(weight_decay=decay)) for decay in (0.03, 0.3)),
        )
    if method in ("magnitude", "topk"):
        decay = {} if where.decay is None else {"weight_decay": where.decay}
        with_decay = "" if where.decay is None else f" decay {where.decay:g}"
        return tuple(
            Setting(f"density {share:g}{with_decay}", _trained(density=share, **decay)) for share in where.densities
        )
    return tuple(Setting(f"lambda x{factor:g}", _pressed(factor)) for factor in _FACTORS[method])


_FACTORS = {"l1": (0.1, 0.25, 0.5, 1.0), "bimt": (0.25, 0.5, 1.0, 2.0)}


def _trained(**values: Any) -> Callable[[Config], Config]:
    return lambda config: replace(config, training=replace(config.training, **values))


def _slower(config: Config) -> Config:
    training = config.training
    lr = training.lr / 2 if isinstance(training.lr, float) else spell_schedule(scaled_schedule(training.lr, 0.5))
    return _trained(lr=lr, finish_lr=training.finish_lr / 2)(config)


def _pressed(factor: float) -> Callable[[Config], Config]:
    def apply(config: Config) -> Config:
        place = config.geometry
        mean = curve(place.width).last / 3 + place.layer_gap
        return scaled(config, factor * (mean / place.layer_gap if config.method == "l1" else 1.0))

    return apply


def job_of(where: FrontierRow, key: RunKey, out: Path, *, eliminate: bool, quick: bool) -> Job:
    """The run of a key, in OUT/frontier/ROW/METHOD-SETTING-seedN.

    Args:
        where: the key's row.
        key: its setting is one of the method's.
        out: the folder for runs.
        eliminate: whether its network is eliminated at its end.
        quick: a twentieth of the steps.

    Raises:
        InputError: for a setting that the method does not have here.
    """
    setting = next((each for each in settings_of(where, key.method) if each.name == key.setting), None)
    if setting is None:
        names = ", ".join(each.name for each in settings_of(where, key.method))
        raise InputError(f"{key.method} on {key.row} has no setting {key.setting!r} (known: {names}): search again")
    training: dict[str, Any] = {
        "steps": where.steps,
        "eliminate": eliminate,
        "validation_share": where.validation_share,
    }
    if quick:
        training |= {"steps": max(where.steps // QUICK, 1), "compile": "no"}
    sections = {section: dict(values) for section, values in where.row.overrides.items()}
    sections["training"] = overlaid(sections.get("training", {}), training)
    sections["elimination"] = {"max_loss": where.budget}
    config = setting.apply(make(where.row.task, None, key.method, key.seed, sections))
    name = f"{key.method}-{key.setting.replace(' ', '-')}-seed{key.seed}"
    return Job(out / "frontier" / key.row / (name if eliminate else f"{name}-as-trained"), config)
