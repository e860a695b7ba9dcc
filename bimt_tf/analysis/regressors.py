"""The two regressors of a probe, as scikit-learn estimators.

**Linear**: ordinary least squares.

**Smooth** (called nonlinear in results): ridge regression on

1. the neurons' whitened principal components (StandardScaler, PCA),
2. the products of any two of the leading :data:`SQUARED` of them (PolynomialFeatures),
3. Gaussian bumps around training examples, at most :data:`BUMPS` and at most one for :data:`EXAMPLES_A_BUMP` examples
   (Nystroem with its usual width: exp(-|z - centre|^2 / number of components)),

whose penalty minimises the generalised cross-validation error (Golub, Heath and Wahba 1979) of the training examples.
It stays bounded where held-out examples leave the range seen in training, and one rule serves one neuron, two, and a
population.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

__all__ = ["CrossValidatedRidge", "linear_regressor", "smooth_regressor"]

SQUARED = 32
"""Leading principal components whose products of two are features."""
BUMPS = 150
"""Gaussian bumps, at most."""
EXAMPLES_A_BUMP = 4
"""Training examples for each bump, at least."""
EXPLAINED = 1 - 1e-10
"""Share of the variance that the principal components kept must explain; the rest is rounding."""
PENALTIES = np.logspace(-10, 2, 13)
"""Candidates for the ridge penalty, for each training example."""
MOST_FREEDOM = 0.7
"""Share of the examples that the effective degrees of freedom may reach; beyond, cross-validation error misleads."""
LEAST_ERROR = 1e-14
"""Share of the target's sum of squares below which a residual is rounding."""


def linear_regressor() -> LinearRegression:
    """Ordinary least squares with an intercept."""
    return LinearRegression()


def smooth_regressor(examples: int, seed: int) -> Pipeline:
    """The module's smooth regressor, for ``examples`` training examples; ``seed`` chooses the centres of the bumps."""
    bumps = min(BUMPS, max(1, examples // EXAMPLES_A_BUMP))
    features = ColumnTransformer(
        [
            ("products", PolynomialFeatures(2, include_bias=False), slice(0, SQUARED)),
            ("others", "passthrough", slice(SQUARED, None)),
            ("bumps", Nystroem(n_components=bumps, random_state=seed), slice(0, None)),
        ]
    )
    return make_pipeline(
        StandardScaler(), PCA(EXPLAINED, whiten=True, svd_solver="full"), features, CrossValidatedRidge()
    )


class CrossValidatedRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression whose penalty, one of :data:`PENALTIES`, has the least generalised cross-validation error.

    scikit-learn's RidgeCV predicts the same to within the noise of a probe (a test compares them) and takes five times
    as long, since it leaves out every example in turn; a probe fits some hundred of these.
    """

    def fit(self, features: Float[np.ndarray, "n features"], y: Float[np.ndarray, " n"]) -> CrossValidatedRidge:
        """Choose the penalty and the weights from training examples."""
        n = len(y)
        self.centre_, self.mean_ = features.mean(0), y.mean()
        features, y = features - self.centre_, y - self.mean_
        eigenvalues, vectors = np.linalg.eigh(features.T @ features)
        eigenvalues = eigenvalues.clip(0)
        projected = vectors.T @ (features.T @ y)
        penalties = n * PENALTIES[:, None]
        shrunk = projected / (eigenvalues + penalties)
        residual = y @ y - 2 * (projected * shrunk).sum(1) + (eigenvalues * shrunk**2).sum(1)
        freedom = 1 + (eigenvalues / (eigenvalues + penalties)).sum(1)
        error = residual.clip(LEAST_ERROR * (y @ y)) / (n - freedom) ** 2
        error[:-1][freedom[:-1] > MOST_FREEDOM * n] = np.inf  # the largest penalty stays a candidate
        best = int(error.argmin())
        self.penalty_, self.coef_ = float(penalties[best, 0]), vectors @ shrunk[best]
        return self

    def predict(self, features: Float[np.ndarray, "m features"]) -> Float[np.ndarray, " m"]:
        """The fitted target of other examples."""
        predicted: np.ndarray = (features - self.centre_) @ self.coef_ + self.mean_
        return predicted
