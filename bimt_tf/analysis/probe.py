"""Probing: what single neurons, pairs and the whole population of a hook tell about a quantity (paper, Section 3.4).

Each is regressed on the target with a part of the examples and scored by R2 on the held-out rest, by two regressors:
**linear**, ordinary least squares; **nonlinear**, ridge regression on principal components, their products and Gaussian
bumps (regressors.py gives every constant). The same with a shuffled target is the control: R2 about 0, or below.
"""

from __future__ import annotations

import html
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.pair_screen import screen_pairs
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.probe_values import checked_target, varying_neurons, within_one
from bimt_tf.analysis.regressors import linear_regressor, smooth_regressor
from bimt_tf.errors import InputError, require_kind, require_non_negative, require_seed, require_whole

__all__ = ["Control", "NeuronProbe", "PairProbe", "PopulationProbe", "ProbeResult", "probe"]

HELD_OUT = 0.2
"""Share of the examples that is scored."""
SHOWN = 5
"""Pairs, and neurons, in the table of a notebook."""


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
    """Held-out R2 of all varying neurons together."""

    linear: float
    nonlinear: float


class Control(NamedTuple):
    """The same with the target shuffled over the examples: the best pair's neurons (None without a pair), and all."""

    pair: PairProbe | None
    population: PopulationProbe


class ProbeResult(NamedTuple):
    """What :func:`probe` found; R2 throughout, held out.

    ``varying`` neurons vary over the inputs; ``neurons`` holds each of them in order, ``pairs`` the pairs among
    ``paired``, best first. ``screened``: there were more varying neurons than pairs were wanted of, so ``paired`` are
    those of the best pairs by a quadratic fit on the training examples; else it is ``varying``.
    """

    hook: str
    position: int | None
    varying: list[int]
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
        """The pair with the highest nonlinear R2; None with fewer than two varying neurons."""
        return self.pairs[0] if self.pairs else None

    @property
    def best_neuron(self) -> NeuronProbe | None:
        """The neuron with the highest nonlinear R2; None without varying neurons."""
        return max(self.neurons, key=lambda neuron: neuron.nonlinear, default=None)

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line: where, of how many neurons, and the best of them."""
        where = self.hook if self.position is None else f"{self.hook}, position {self.position}"
        best = [f"{name} {what} R2 {one.nonlinear:.4f}" for name, what, one in self._rows(1)]
        size = f"{len(self.varying)} varying neurons, {self.n_train} training and {self.n_test} held-out examples"
        return f"ProbeResult({where}: {size}; {'; '.join(best)})"

    def _repr_html_(self) -> str:
        """A table of the best pairs and neurons, all of them together and the control."""
        rows = [f"<tr><td>{name} {what}</td><td>{one.linear:.4f}</td><td>{one.nonlinear:.4f}</td></tr>"
                for name, what, one in self._rows(SHOWN)]  # fmt: skip
        where = html.escape(self.hook if self.position is None else f"{self.hook}, position {self.position}")
        head = "<tr><th>neurons</th><th>linear R2</th><th>nonlinear R2</th></tr>"
        return f"<table><caption>{where} (held out)</caption>{head}{''.join(rows)}</table>"

    def _rows(self, shown: int) -> list[tuple[str, str, NeuronProbe | PairProbe | PopulationProbe]]:
        """(kind, neurons, their probe): the ``shown`` best pairs and neurons, all neurons, and their control."""
        neurons = sorted(self.neurons, key=lambda neuron: -neuron.nonlinear)[:shown]
        return [
            *(("pair", f"{pair.first} and {pair.second}", pair) for pair in self.pairs[:shown]),
            *(("neuron", f"{neuron.neuron}", neuron) for neuron in neurons),
            ("all", f"{len(self.varying)}", self.population),
            ("all,", "target shuffled", self.control.population),
        ]


def probe(
    model: nn.Module,
    hook: str,
    target: Shaped[Tensor, " examples"],
    position: int | None = None,
    *,
    inputs: Shaped[Tensor, "batch ..."],
    max_pairs_neurons: int = 24,
    varying_threshold: float = 1e-3,
    seed: int = 0,
) -> ProbeResult:
    """Regress ``target`` on the activations at ``hook``, neuron by neuron, pair by pair, and all together.

    The model runs once, in evaluation mode without gradients; hooks and modes are put back, also after an exception.

    Args:
        model: a HookedRootModule (RegressionTransformer, MLP) or a TransformerBridge.
        hook: hook name, e.g. "blocks.0.hook_resid_post"; of q, k, v and z, neuron ``head * d_head + e`` is neuron e
            of its head.
        target: one number an example; a tensor, an array or a list.
        position: the token probed, from the end if negative; None for activations without positions (MLP).
        inputs: what the model takes, the batch first.
        max_pairs_neurons: pairs are taken among at most this many neurons (``screened``).
        varying_threshold: a neuron varies if its standard deviation exceeds this fraction of the largest at the hook
            (and the rounding of its activations' dtype).
        seed: of the split, the bumps' centres and the shuffled target.

    Raises:
        InputError: for an unknown hook, one without activations or neurons, a position out of range, NaN or infinite
            activations or targets, a target that is constant or does not match the inputs, or under 20 examples.
    """
    require_whole("max_pairs_neurons", max_pairs_neurons, at_least=2)
    require_seed(seed, bits=32)  # of scikit-learn's generators
    require_kind("inputs", inputs, Tensor)
    require_non_negative("varying_threshold", varying_threshold)
    y = checked_target(target, len(inputs) if inputs.ndim else 0)
    activation = activations(model, hook, position, inputs=inputs)
    x = within_one(activation.cpu().double().numpy())
    varying = varying_neurons(x, torch.finfo(activation.dtype).eps, varying_threshold)

    train, test, shuffled = _divided(y, seed)

    def scores(neurons: list[int], values: np.ndarray = y) -> tuple[float, float]:
        return _scores(x[:, neurons], values, train, test, seed)

    screened = len(varying) > max_pairs_neurons
    with threadpool_limits(1):  # hundreds of small fits: threads of their own would wait for each other
        paired = screen_pairs(x[train], y[train], varying, max_pairs_neurons) if screened else varying
        pairs = [PairProbe(i, j, *scores([i, j])) for i, j in combinations(paired, 2)]
        pairs.sort(key=lambda pair: (-pair.nonlinear, pair.first, pair.second))
        best = [pairs[0].first, pairs[0].second] if pairs else []
        control = Control(
            PairProbe(best[0], best[1], *scores(best, shuffled)) if best else None,
            PopulationProbe(*scores(varying, shuffled)),
        )
        neurons = [NeuronProbe(i, *scores([i])) for i in varying]
        population = PopulationProbe(*scores(varying))
    return ProbeResult(
        hook, position, varying, paired, neurons, pairs, population, control, len(train), len(test), screened
    )


def _divided(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out examples, and the target shuffled over all of them."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    shuffled = rng.permutation(y)
    n_test = round(HELD_OUT * len(y))
    train, test = order[n_test:], order[:n_test]
    for part, name in ((train, "training"), (test, "held-out")):
        if np.ptp(y[part]) == 0 or np.ptp(shuffled[part]) == 0:
            raise InputError(f"the target is constant over the {len(part)} {name} examples; give more examples")
    return train, test, shuffled


def _scores(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int) -> tuple[float, float]:
    """Held-out R2 of the two regressors on [n, neurons]; neurons that are constant in training predict the mean."""
    moving = x.shape[1] > 0 and np.ptp(x[train], axis=0).max() > 0
    regressors = [linear_regressor(), smooth_regressor(len(train), seed)] if moving else [DummyRegressor()] * 2
    features = x if moving else np.zeros((len(x), 1))
    linear, nonlinear = (
        float(r2_score(y[test], regressor.fit(features[train], y[train]).predict(features[test])))
        for regressor in regressors
    )
    return linear, nonlinear
