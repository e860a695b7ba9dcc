"""Probing: what single neurons, pairs and the whole population of a hook tell about a quantity (paper, Section 3.4).

Each is regressed on the target with a part of the examples and scored by R2 on the held-out rest, by two regressors:
**linear**, ordinary least squares; **nonlinear**, ridge regression on the neurons' whitened principal components, their
products of two, and Gaussian bumps around training examples (Nystroem), whose penalty minimises the generalised
cross-validation error (Golub, Heath and Wahba 1979) of the training part. It is smooth and stays bounded where held-out
examples leave the range seen in training, and one rule serves one neuron, two, and a population. The same with a
shuffled target is the control: R2 about 0, or below.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor, nn

from bimt_tf.analysis.activations import activations
from bimt_tf.errors import InputError, require_non_negative

__all__ = ["Control", "NeuronProbe", "PairProbe", "PopulationProbe", "ProbeResult", "probe"]

FEWEST = 20
"""Examples below which a held-out R2 says nothing."""
HELD_OUT = 0.2
"""Share of the examples that is scored."""


class NeuronProbe(NamedTuple):
    """Held-out R2 of one neuron alone."""

    neuron: int
    linear: float
    nonlinear: float


class PairProbe(NamedTuple):
    """Held-out R2 of two neurons, ``first < second``."""

    first: int
    second: int
    linear: float
    nonlinear: float


class PopulationProbe(NamedTuple):
    """Held-out R2 of all active neurons together."""

    linear: float
    nonlinear: float


class Control(NamedTuple):
    """The same with the target shuffled over the examples: the best pair's neurons (None without a pair), and all."""

    pair: PairProbe | None
    population: PopulationProbe


class ProbeResult(NamedTuple):
    """What :func:`probe` found; R2 throughout, held out.

    ``active`` neurons vary over the inputs; ``neurons`` holds each of them in order, ``pairs`` the pairs among
    ``paired``, best first. ``screened``: there were more active neurons than pairs were wanted of, so ``paired`` are
    those of the best pairs by a quadratic fit on the training examples; else it is ``active``.
    """

    hook: str
    position: int | None
    active: list[int]
    paired: list[int]
    neurons: list[NeuronProbe]
    pairs: list[PairProbe]
    population: PopulationProbe
    control: Control
    n_train: int
    n_test: int
    screened: bool

    @property
    def best_pair(self) -> PairProbe | None:
        """The pair with the highest nonlinear R2; None with fewer than two active neurons."""
        return self.pairs[0] if self.pairs else None

    @property
    def best_neuron(self) -> NeuronProbe | None:
        """The neuron with the highest nonlinear R2; None without active neurons."""
        return max(self.neurons, key=lambda neuron: neuron.nonlinear, default=None)

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return _plain(self)


def probe(
    model: nn.Module,
    hook: str,
    target: Shaped[Tensor, " examples"],
    position: int | None = None,
    *,
    inputs: Shaped[Tensor, "batch ..."],
    max_pairs_neurons: int = 24,
    active_threshold: float = 1e-3,
    seed: int = 0,
) -> ProbeResult:
    """Regress ``target`` on the activations at ``hook``, neuron by neuron, pair by pair, and all together.

    The model runs once, in evaluation mode without gradients; hooks and modes are put back, also after an exception.

    Args:
        model: a HookedRootModule (RegressionTransformer, MLP) or a TransformerBridge.
        hook: hook name, e.g. "blocks.0.hook_resid_post"; of q, k, v and z, neuron ``head * d_head + e`` is neuron e
            of its head.
        target: one number an example.
        position: the token probed, from the end if negative; None for activations without positions (MLP).
        inputs: what the model takes, the batch first.
        max_pairs_neurons: pairs are taken among at most this many neurons (``screened``).
        active_threshold: a neuron is active if its standard deviation exceeds this fraction of the largest at the hook
            (and the rounding of its activations' dtype).
        seed: of the split, the bumps' centres and the shuffled target.

    Raises:
        InputError: for an unknown hook, one without activations or neurons, a position out of range, NaN or infinite
            activations or targets, a target that is constant or does not match the inputs, or under 20 examples.
    """
    if isinstance(max_pairs_neurons, bool) or not isinstance(max_pairs_neurons, int) or max_pairs_neurons < 2:
        raise InputError(f"max_pairs_neurons must be a whole number of at least 2, found {max_pairs_neurons!r}")
    require_non_negative("active_threshold", active_threshold)
    y = _target(target, len(inputs))
    activation = activations(model, hook, position, inputs=inputs)
    active = _active(activation, active_threshold)
    x = activation.cpu().double().numpy()

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    shuffled = rng.permutation(y)
    n_test = round(HELD_OUT * len(y))
    train, test = order[n_test:], order[:n_test]
    for part, name in ((train, "training"), (test, "held-out")):
        if np.ptp(y[part]) == 0 or np.ptp(shuffled[part]) == 0:
            raise InputError(f"the target is constant ({y[part][0]:g}) over the {len(part)} {name} examples; give more")

    def scores(neurons: list[int], values: np.ndarray = y) -> tuple[float, float]:
        z = x[:, neurons]
        linear, nonlinear = (
            fit(z[train], values[train], z[test], seed) if neurons else np.full(n_test, values[train].mean())
            for fit in (_linear, _nonlinear)
        )
        return float(r2_score(values[test], linear)), float(r2_score(values[test], nonlinear))

    screened = len(active) > max_pairs_neurons
    paired = _screen(x[train], y[train], active, max_pairs_neurons) if screened else active
    pairs = [PairProbe(i, j, *scores([i, j])) for i, j in combinations(paired, 2)]
    pairs.sort(key=lambda pair: (-pair.nonlinear, pair.first, pair.second))
    best = [pairs[0].first, pairs[0].second] if pairs else []
    control = Control(
        PairProbe(best[0], best[1], *scores(best, shuffled)) if best else None,
        PopulationProbe(*scores(active, shuffled)),
    )
    neurons = [NeuronProbe(i, *scores([i])) for i in active]
    population = PopulationProbe(*scores(active))
    return ProbeResult(
        hook, position, active, paired, neurons, pairs, population, control, len(train), len(test), screened
    )


def _target(target: Tensor, examples: int) -> np.ndarray:
    if target.ndim != 1 or len(target) != examples:
        raise InputError(f"target must have shape [{examples}], one number an input, found {list(target.shape)}")
    if examples < FEWEST:
        raise InputError(f"a probe needs at least {FEWEST} examples, found {examples}")
    y = target.detach().cpu().double().numpy()
    if not np.isfinite(y).all():
        raise InputError(f"target holds {int((~np.isfinite(y)).sum())} NaN or infinite value(s)")
    if np.ptp(y) == 0:
        raise InputError(f"target is constant ({y[0]:g}): there is nothing to decode")
    return y


def _active(activation: Float[Tensor, "batch neurons"], threshold: float) -> list[int]:
    wide = activation.double()
    std = wide.std(0)
    rounding = 4 * torch.finfo(activation.dtype).eps * wide.abs().amax(0)
    return ((std > threshold * std.max()) & (std > rounding)).nonzero().flatten().tolist()


def _screen(x: np.ndarray, y: np.ndarray, active: list[int], keep: int) -> list[int]:
    """The neurons of the best pairs by R2 of a quadratic fit on the training examples; all pairs, from moments."""
    z, t = StandardScaler().fit_transform(x[:, active]), (y - y.mean()) / y.std()
    n, p = z.shape
    z2 = z * z
    m11, m12, m13, m22, mt = (a.T @ b / n for a, b in ((z, z), (z, z2), (z, z2 * z), (z2, z2), (z * t[:, None], z)))
    linear, square = z.T @ t / n, z2.T @ t / n
    ranked: list[tuple[float, int, int]] = []
    for i in range(p - 1):
        j = np.arange(i + 1, p)
        one = np.ones(len(j))
        # Second moments of the features z_i, z_j, z_i^2, z_j^2, z_i z_j, for all j at once.
        rows = [
            [one, m11[i, j], one * m12[i, i], m12[i, j], m12[j, i]],
            [m11[i, j], one, m12[j, i], m12[j, j], m12[i, j]],
            [one * m12[i, i], m12[j, i], one * m22[i, i], m22[i, j], m13[j, i]],
            [m12[i, j], m12[j, j], m22[i, j], m22[j, j], m13[i, j]],
            [m12[j, i], m12[i, j], m13[j, i], m13[i, j], m22[i, j]],
        ]
        mean = np.stack([0 * one, 0 * one, one, one, m11[i, j]], axis=-1)
        gram = np.array(rows).transpose(2, 0, 1) - mean[:, :, None] * mean[:, None, :] + 1e-6 * np.eye(5)
        with_target = np.stack([one * linear[i], linear[j], one * square[i], square[j], mt[i, j]], axis=-1)
        explained = (with_target * np.linalg.solve(gram, with_target[..., None])[..., 0]).sum(-1)
        ranked += [(-float(r2), i, int(k)) for r2, k in zip(explained, j, strict=True)]
    chosen: dict[int, None] = {}
    for _, i, k in sorted(ranked):
        chosen |= {active[i]: None, active[k]: None}
        if len(chosen) >= keep:
            break
    return sorted(list(chosen)[:keep])


def _linear(x: np.ndarray, y: np.ndarray, unseen: np.ndarray, seed: int) -> np.ndarray:
    return LinearRegression().fit(x, y).predict(unseen)


def _nonlinear(x: np.ndarray, y: np.ndarray, unseen: np.ndarray, seed: int) -> np.ndarray:
    """The module docstring's nonlinear regressor: train on [n, neurons], predict for ``unseen``."""
    scaler = StandardScaler().fit(x)
    pca = PCA(whiten=True).fit(scaler.transform(x))
    # Directions below this fraction are rounding; whitened, they would drown the others.
    directions = np.flatnonzero(pca.singular_values_ > 1e-5 * pca.singular_values_[0])
    z, z_unseen = (pca.transform(scaler.transform(part))[:, directions] for part in (x, unseen))
    products = PolynomialFeatures(2, include_bias=False).fit(z[:, :32])
    width = 0.7 * np.sqrt(z.shape[1])
    bumps = Nystroem(gamma=1 / (2 * width**2), n_components=min(150, max(1, len(x) // 4)), random_state=seed).fit(z)
    features, unseen_features = (
        np.hstack([np.asarray(products.transform(part[:, :32])), part[:, 32:], bumps.transform(part)])
        for part in (z, z_unseen)
    )
    centre = features.mean(0)
    return (unseen_features - centre) @ _ridge(features - centre, y - y.mean()) + y.mean()


def _ridge(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ridge weights with the penalty of least generalised cross-validation error (RidgeCV would do, 5 times slower)."""
    n = len(y)
    eigenvalues, vectors = np.linalg.eigh(features.T @ features)
    eigenvalues = eigenvalues.clip(0)
    projected = vectors.T @ (features.T @ y)
    penalties = n * np.logspace(-10, 2, 13)[:, None]
    shrunk = projected / (eigenvalues + penalties)
    residual = y @ y - 2 * (projected * shrunk).sum(1) + (eigenvalues * shrunk**2).sum(1)
    freedom = 1 + (eigenvalues / (eigenvalues + penalties)).sum(1)
    error = residual.clip(1e-14 * (y @ y)) / (n - freedom) ** 2
    error[(freedom > 0.7 * n) & (penalties[:, 0] < penalties[-1, 0])] = np.inf  # no estimate where it interpolates
    return vectors @ shrunk[int(error.argmin())]


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(entry) for name, entry in value._asdict().items()}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value
