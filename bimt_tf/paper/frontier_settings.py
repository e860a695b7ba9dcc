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


class Pruned(NamedTuple):
    """One setting of magnitude or topk: the share of all weights to leave, and what else differs from the preset.

    ``decay`` is AdamW's weight decay; ``rate`` a constant learning rate in the place of the preset's schedule, whose
    moments are then not begun anew either. None leaves what the preset has.
    """

    density: float
    decay: float | None = None
    rate: float | None = None


class FrontierRow(NamedTuple):
    """A task of the frontier.

    Attributes:
        row: its row of the tables, whose data it has.
        steps: of every run.
        bound: held-out loss up to which a setting's networks count as having learned the task.
        budget: training loss up to which networks are eliminated.
        magnitude, topk: the four settings of these two methods.
        search_eliminates: whether the search eliminates every setting's networks and chooses among them. False where an
            elimination takes minutes: the setting chosen for networks as trained is then the one that is eliminated.
        validation_share: of the training examples, split off to guard the elimination.
        seeds: of the report, where no others are asked for.
    """

    row: Row
    steps: int
    bound: float
    budget: float
    magnitude: tuple[Pruned, Pruned, Pruned, Pruned]
    topk: tuple[Pruned, Pruned, Pruned, Pruned]
    search_eliminates: bool = True
    validation_share: float = 0.0
    seeds: tuple[int, ...] = SEEDS


_S4_MAGNITUDE = (Pruned(0.3, 1.0, 1e-2), Pruned(0.2, 1.0, 1e-2), Pruned(0.2, 1.0, 2e-2), Pruned(0.12, 1.0, 2e-2))
_S4_TOPK = (Pruned(0.12, 1.0, 1e-2), Pruned(0.08, 1.0, 1e-2), Pruned(0.12, 1.0, 2e-2), Pruned(0.08, 1.0, 2e-2))
_ADDITION_MAGNITUDE = (Pruned(0.12, 0.1), Pruned(0.12, 0.3), Pruned(0.12, 1.0), Pruned(0.08, 0.3))
_ADDITION_TOPK = (Pruned(0.12, 0.3), Pruned(0.08, 0.1), Pruned(0.08, 0.3), Pruned(0.06, 0.3))


_IN_CONTEXT = (Pruned(0.06), Pruned(0.03), Pruned(0.015), Pruned(0.008))
_SYMBOLIC_B = (Pruned(0.3), Pruned(0.2), Pruned(0.12), Pruned(0.08))

FRONTIER_ROWS = (
    FrontierRow(row("in-context"), 10_000, 7.8e-5, 2e-5, _IN_CONTEXT, _IN_CONTEXT),
    FrontierRow(
        row("modular-addition"), 16_000, 5e-2, 1e-2, _ADDITION_MAGNITUDE, _ADDITION_TOPK, search_eliminates=False,
        validation_share=0.1,
    ),
    FrontierRow(
        row("s4"), 40_000, 1e-1, 1e-2, _S4_MAGNITUDE, _S4_TOPK, search_eliminates=False, validation_share=0.1,
        seeds=(5, 6, 7, 8, 9),
    ),
    FrontierRow(row("symbolic-b"), 10_000, 1.1e-5, 3e-6, _SYMBOLIC_B, _SYMBOLIC_B),
)  # fmt: skip
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
    magnitude, topk: the row's own.
    """
    if method == "vanilla":
        return (
            Setting("as the preset", lambda config: config),
            Setting("rates x0.5", _slower),
            *(Setting(f"decay {decay:g}", _trained(weight_decay=decay)) for decay in (0.03, 0.3)),
        )
    if method in ("magnitude", "topk"):
        return tuple(_pruned(each) for each in (where.magnitude if method == "magnitude" else where.topk))
    return tuple(Setting(f"lambda x{factor:g}", _pressed(factor)) for factor in _FACTORS[method])


_FACTORS = {"l1": (0.1, 0.25, 0.5, 1.0), "bimt": (0.25, 0.5, 1.0, 2.0)}


def _trained(**values: Any) -> Callable[[Config], Config]:
    return lambda config: replace(config, training=replace(config.training, **values))


def _pruned(one: Pruned) -> Setting:
    told = {"density": one.density, "decay": one.decay, "rate": one.rate}
    name = " ".join(f"{word} {value:g}" for word, value in told.items() if value is not None)
    given = {"density": one.density, "weight_decay": one.decay, "lr": one.rate}
    return Setting(name, _trained(**{field: value for field, value in given.items() if value is not None}))


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
