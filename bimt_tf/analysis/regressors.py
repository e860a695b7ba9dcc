"""The two regressors of a probe, as scikit-learn estimators.

**Linear**: ridge regression on the standardised neurons.

**Smooth** (called nonlinear in results): ridge regression on

1. the neurons' whitened principal components (StandardScaler, PCA),
2. the products of any two of the leading :data:`SQUARED` of them,
3. Gaussian bumps around training examples, at most :data:`BUMPS` and at most one for :data:`EXAMPLES_A_BUMP` examples
   (exp(-|z - centre|^2 / number of components), mixed as by Nystroem's method).

Both choose their penalty by cross-validation on the training examples (:class:`CrossValidatedRidge`). The smooth one
stays bounded where held-out examples leave the range seen in training, and one rule serves one neuron, two, and a
population.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["CrossValidatedRidge", "ProductsAndBumps", "linear_regressor", "smooth_regressor"]

SQUARED = 32
"""Leading principal components whose products of two are features."""
BUMPS = 150
"""Gaussian bumps, at most."""
EXAMPLES_A_BUMP = 4
"""Training examples for each bump, at least; those that repeat one input count once."""
EXPLAINED = 1 - 1e-10
"""Share of the variance that the principal components kept must explain; the rest is rounding."""
PENALTIES = np.logspace(-10, 2, 13)
"""Candidates for the ridge penalty, for each training example."""
INNER_FOLDS = 5
"""Parts into which groups of examples are divided, where a penalty is chosen by leaving out groups."""
LEAST_ERROR = 1e-14
"""Share below which an error, of the target's sum of squares, or a leverage's distance from one is rounding."""


def linear_regressor() -> Pipeline:
    """Ridge regression on standardised neurons."""
    return make_pipeline(StandardScaler(), CrossValidatedRidge())


def smooth_regressor(examples: int, seed: int) -> Pipeline:
    """The module's smooth regressor, for so many distinct training examples; ``seed`` picks the bumps' centres."""
    features = ProductsAndBumps(min(BUMPS, max(1, examples // EXAMPLES_A_BUMP)), seed)
    return make_pipeline(
        StandardScaler(), PCA(EXPLAINED, whiten=True, svd_solver="full"), features, CrossValidatedRidge()
    )


class ProductsAndBumps(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The columns, the products of any two of the first :data:`SQUARED`, and Gaussian bumps around examples.

    They are scikit-learn's PolynomialFeatures, and its Nystroem up to a rotation of the bumps, to which ridge
    regression is blind (a test compares them), without the checks of every call: a probe makes some hundred.
    """

    def __init__(self, bumps: int, seed: int) -> None:
        self.bumps, self.seed = bumps, seed

    def fit(self, x: Float[np.ndarray, "n columns"], y: object = None) -> ProductsAndBumps:
        """Choose the centres, and the mixture of bumps whose products are the kernel's values among them."""
        self.centres_ = x[np.random.default_rng(self.seed).permutation(len(x))[: self.bumps]]
        eigenvalues, vectors = np.linalg.eigh(self._bumps(self.centres_))
        self.mixture_ = vectors / np.sqrt(eigenvalues.clip(1e-12))
        return self

    def transform(self, x: Float[np.ndarray, "m columns"]) -> Float[np.ndarray, "m features"]:
        """The features of other examples."""
        first, second = np.triu_indices(min(SQUARED, x.shape[1]))
        return np.hstack([x, x[:, first] * x[:, second], self._bumps(x) @ self.mixture_])

    def _bumps(self, x: np.ndarray) -> np.ndarray:
        squared = (x**2).sum(1)[:, None] + (self.centres_**2).sum(1) - 2 * x @ self.centres_.T
        found: np.ndarray = np.exp(-squared.clip(0) / x.shape[1])
        return found


class CrossValidatedRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression whose penalty, one of :data:`PENALTIES` for each target, has the least cross-validation error.

    Each example is left out in turn, in closed form (Allen's PRESS, 1974). Where examples come in groups that repeat
    one input, leaving out one leaves its repetitions in, so whole groups are left out instead.

    scikit-learn's RidgeCV chooses in the same way (a test compares them) and takes several times as long; a probe fits
    some hundred of these. The generalised error of Golub, Heath and Wahba, which is cheaper still, will not do: it does
    not see how far off the few examples at the rim are, and of steps and kinks it takes the least penalty.
    """

    def fit(
        self,
        features: Float[np.ndarray, "n features"],
        y: Float[np.ndarray, "n *targets"],
        groups: Int[np.ndarray, " n"] | None = None,
    ) -> CrossValidatedRidge:
        """Choose penalties and weights from training examples; ``groups`` numbers those that repeat one input."""
        n, targets = len(y), y[:, None] if y.ndim == 1 else y
        self.centre_, self.mean_ = features.mean(0), y.mean(0)
        features, targets = features - self.centre_, targets - targets.mean(0)
        penalties = n * PENALTIES
        eigenvalues, vectors = _eigen(features)
        weight = 1 / (eigenvalues + penalties[:, None])
        shrunk = (vectors.T @ (features.T @ targets)) * weight[..., None]
        if groups is None:
            error = _error_without_each(features @ vectors, targets, shrunk, weight)
        else:
            error = _error_without_groups(features, targets, penalties, groups)
        best = error.argmin(0)
        penalty, coefficients = penalties[best], vectors @ shrunk[best, :, np.arange(len(best))].T
        self.penalty_ = float(penalty[0]) if y.ndim == 1 else penalty
        self.coef_ = coefficients[:, 0] if y.ndim == 1 else coefficients
        return self

    def predict(self, features: Float[np.ndarray, "m features"]) -> Float[np.ndarray, "m *targets"]:
        """The fitted targets of other examples."""
        predicted: np.ndarray = (features - self.centre_) @ self.coef_ + self.mean_
        return predicted


def _eigen(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the features' moments."""
    eigenvalues, vectors = np.linalg.eigh(features.T @ features)
    return eigenvalues.clip(0), vectors


def _error_without_each(
    rotated: np.ndarray, targets: np.ndarray, shrunk: np.ndarray, weight: np.ndarray
) -> Float[np.ndarray, "penalties targets"]:
    """The squared error on examples that were left out one by one: a residual over one minus its leverage."""
    left = 1 - 1 / len(targets) - (rotated**2) @ weight.T
    residual = targets[:, None] - np.tensordot(rotated, shrunk, axes=(1, 1))
    error: np.ndarray = ((residual / left.clip(LEAST_ERROR)[..., None]) ** 2).sum(0)
    return error.clip(LEAST_ERROR * (targets**2).sum(0))


def _error_without_groups(
    features: np.ndarray, targets: np.ndarray, penalties: np.ndarray, groups: np.ndarray
) -> Float[np.ndarray, "penalties targets"]:
    """The squared error on groups that were left out, :data:`INNER_FOLDS` parts of them in turn."""
    error = np.zeros((len(penalties), targets.shape[1]))
    part = np.unique(groups, return_inverse=True)[1] % INNER_FOLDS
    for left_out in (part == k for k in range(part.max() + 1)):
        kept, wanted = features[~left_out], targets[~left_out]
        centre, mean = kept.mean(0), wanted.mean(0)
        eigenvalues, vectors = _eigen(kept - centre)
        projected = vectors.T @ ((kept - centre).T @ (wanted - mean))
        share = len(kept) / len(features)
        shrunk = projected / (eigenvalues + share * penalties[:, None])[..., None]
        predicted = ((features[left_out] - centre) @ vectors) @ shrunk + mean
        error += ((targets[left_out] - predicted) ** 2).sum(1)
    return error
