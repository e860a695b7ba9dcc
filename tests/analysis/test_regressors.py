"""The ridge of the probes against scikit-learn's, and what the smooth regressor does with odd features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

from bimt_tf.analysis.regressors import PENALTIES, CrossValidatedRidge, smooth_regressor


def examples(neurons, noise, seed, n=600):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, neurons))
    y = np.sin(2 * x[:, 0]) + x[:, 0] / (x[:, -1] + 4)
    return x, y + noise * y.std() * rng.normal(size=n)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("neurons", [1, 2, 5])
def test_the_ridge_predicts_as_scikit_learns_does(neurons, noise):
    x, y = examples(neurons, noise, 0)
    ours = smooth_regressor(400, 0).fit(x[:400], y[:400])
    theirs = make_pipeline(*[step for _, step in smooth_regressor(400, 0).steps[:-1]], RidgeCV(400 * PENALTIES))
    theirs.fit(x[:400], y[:400])
    r2 = [r2_score(y[400:], regressor.predict(x[400:])) for regressor in (ours, theirs)]
    assert r2[0] == pytest.approx(r2[1], abs=2e-2)
    assert neurons == 5 or r2[0] == pytest.approx(r2[1], abs=1e-3)
    assert r2[0] > 0.85


def test_the_weights_are_those_of_the_chosen_penalty():
    x, y = examples(3, 0.2, 1)
    ridge = CrossValidatedRidge().fit(x, y)
    centred = x - x.mean(0)
    wanted = np.linalg.solve(centred.T @ centred + ridge.penalty_ * np.eye(3), centred.T @ (y - y.mean()))
    np.testing.assert_allclose(ridge.coef_, wanted)
    assert np.isclose(len(x) * PENALTIES, ridge.penalty_).any()
    np.testing.assert_allclose(ridge.predict(x).mean(), y.mean())


@pytest.mark.parametrize("neurons", [33, 70])
def test_more_components_than_are_squared(neurons):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2000, neurons))
    y = x @ rng.normal(size=neurons)
    predicted = smooth_regressor(1600, 0).fit(x[:1600], y[:1600]).predict(x[1600:])
    assert r2_score(y[1600:], predicted) > 0.95


def test_a_repeated_neuron_changes_nothing():
    x, y = examples(2, 0.0, 3)
    twice = np.hstack([x, x[:, :1]])
    r2 = [r2_score(y[400:], smooth_regressor(400, 0).fit(z[:400], y[:400]).predict(z[400:])) for z in (x, twice)]
    assert r2[0] == pytest.approx(r2[1], abs=1e-2)
