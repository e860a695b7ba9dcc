"""Read-outs of a probe: held-out scores with their intervals, and the scores of shuffled targets.

The score of numbers is R2. The score of classes is its counterpart for probabilities, the Brier skill score 1 - B/B0,
with B the mean squared difference of the predicted probabilities from the class that came (Brier 1950) and B0 that of
the classes' frequencies; it is a proper score. Either is 1 for a perfect prediction, 0 for who knows the mean alone,
and below for who is misled. Classes have their accuracy beside it. Probabilities are ridge predictions of each class,
cut off at 0 and 1 and divided by their sum.

Intervals are 95% of a bootstrap over held-out units (probe_split.py), all read-outs of a probe on the same draws; the
fitted weights are not drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import sklearn
from jaxtyping import Float
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from bimt_tf.analysis.probe_split import Division, shuffled_columns
from bimt_tf.analysis.probe_values import Target
from bimt_tf.analysis.regressors import linear_regressor, smooth_regressor

__all__ = ["LEVEL", "RESAMPLES", "Reader", "Reading", "Score", "difference", "quick_fits"]

RESAMPLES = 1000
"""Bootstrap draws."""
LEVEL = 0.95
"""Share of the draws that an interval holds."""


class Score(NamedTuple):
    """A held-out score or a difference of two, with its interval; of classes the accuracy too.

    ``value`` is None where it is undefined, and ``reason`` then says why; ``low`` and ``high`` are None where too few
    draws are defined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    accuracy: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        """As a table shows it: ``0.9970 [0.9962, 0.9978]``."""
        if self.value is None:
            return "undefined"
        value, *interval = (None if one is None else f"{round(one, 4) + 0.0:.4f}" for one in self[:3])
        return f"{value}" if None in interval else f"{value} [{interval[0]}, {interval[1]}]"


class Reading(NamedTuple):
    """One read-out: its score, the draws of its bootstrap, and the scores of shuffled targets."""

    score: Score
    draws: Float[np.ndarray, " resamples"]
    shuffled: Float[np.ndarray, " shuffles"]


class Reader:
    """Reads one target off any features of the same examples, with the same division, shuffles and draws."""

    def __init__(self, target: Target, division: Division, seed: int) -> None:
        self.division, self.seed = division, seed
        self._classes = target.kind == "classes"
        self._columns = [target.columns, *shuffled_columns(target, division, seed)]
        self._held = np.concatenate([held for _, held in division.folds])
        units, self._unit = np.unique(division.unit[self._held], return_inverse=True)
        rng = np.random.default_rng([seed, 2])
        self._draws = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), RESAMPLES).astype(float)

    @property
    def shuffles(self) -> int:
        """How often the target is shuffled."""
        return len(self._columns) - 1

    def linear(self, x: Float[np.ndarray, "n features"]) -> Reading:
        """Ridge regression."""
        return self._read(x, smooth=False)

    def nonlinear(self, x: Float[np.ndarray, "n features"]) -> Reading:
        """Ridge regression on products and bumps (regressors.py)."""
        return self._read(x, smooth=True)

    def _read(self, x: np.ndarray, smooth: bool) -> Reading:
        if self.division.undefined:
            return Reading(Score(None, reason=self.division.undefined), np.full(RESAMPLES, np.nan), np.zeros(0))
        wanted = np.concatenate(self._columns, axis=1)
        predicted = np.concatenate([self._predicted(x, wanted, *fold, smooth) for fold in self.division.folds])
        wanted, width = wanted[self._held], self._columns[0].shape[1]
        value, draws, accuracy = self._scored(predicted[:, :width], wanted[:, :width])
        score = Score(value, *interval(draws), accuracy)
        if not np.isfinite(value):
            score = Score(None, reason="the target hardly varies over the held-out examples")
        shuffled = [
            self._scored(predicted[:, i : i + width], wanted[:, i : i + width], draw=False)[0]
            for i in range(width, wanted.shape[1], width)
        ]
        return Reading(score, draws, np.array([one for one in shuffled if np.isfinite(one)]))

    def _predicted(
        self, x: np.ndarray, wanted: np.ndarray, train: np.ndarray, held: np.ndarray, smooth: bool
    ) -> Float[np.ndarray, "held columns"]:
        """Held-out predictions; features that are constant in training predict the mean."""
        x = x[:, np.ptp(x[train], axis=0) > 0] if x.shape[1] else x
        if not x.shape[1]:
            return np.repeat(wanted[train].mean(0, keepdims=True), len(held), axis=0)
        groups = self.division.unit[train] if self.division.repeated else None
        distinct = len(train) if groups is None else len(np.unique(groups))
        regressor: Pipeline = smooth_regressor(distinct, self.seed) if smooth else linear_regressor()
        regressor.fit(x[train], wanted[train], crossvalidatedridge__groups=groups)
        predicted: np.ndarray = regressor.predict(x[held])
        return predicted

    def _scored(
        self, predicted: np.ndarray, wanted: np.ndarray, draw: bool = True
    ) -> tuple[float, np.ndarray, float | None]:
        """Score, the bootstrap's draws of it, and the accuracy of classes."""
        accuracy = None
        if self._classes:
            accuracy = float((predicted.argmax(1) == wanted.argmax(1)).mean())
            predicted = predicted.clip(0, 1)
            total = predicted.sum(1, keepdims=True)
            predicted = np.where(total > 0, predicted / np.where(total > 0, total, 1), 1 / predicted.shape[1])
        terms = np.column_stack([((wanted - predicted) ** 2).sum(1), (wanted**2).sum(1), np.ones(len(wanted)), wanted])
        if not draw:
            return float(_shares(terms.sum(0)[None])[0]), np.zeros(0), accuracy
        sums = np.zeros((self._draws.shape[1], terms.shape[1]))
        np.add.at(sums, self._unit, terms)
        found = _shares(np.concatenate([sums.sum(0)[None], self._draws @ sums]))
        return float(found[0]), found[1:], accuracy


def difference(one: Reading, other: Reading) -> Score:
    """How much better ``one`` is, with the interval of the difference on the same draws."""
    if one.score.value is None or other.score.value is None:
        return Score(None, reason=one.score.reason or other.score.reason)
    return Score(one.score.value - other.score.value, *interval(one.draws - other.draws))


@contextmanager
def quick_fits() -> Iterator[None]:
    """While hundreds of small regressions are made: no threads, which would wait for each other, and no checks."""
    with threadpool_limits(1), sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        yield


def interval(draws: Float[np.ndarray, " resamples"]) -> tuple[float | None, float | None]:
    """The middle :data:`LEVEL` of the draws that are defined; None if half of them are not."""
    defined = draws[np.isfinite(draws)]
    if len(defined) <= len(draws) / 2:
        return None, None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _shares(sums: Float[np.ndarray, "draws terms"]) -> Float[np.ndarray, " draws"]:
    """1 - error / variance, of sums of squared errors, of squares, of ones and of the targets; NaN without variance."""
    variance = sums[:, 1] - (sums[:, 3:] ** 2).sum(1) / sums[:, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 1e-12 * sums[:, 1], 1 - sums[:, 0] / variance, np.nan)
