"""Which irreducible representations an embedding of a group is made of (paper, Section 3.3 and Appendix E).

A neuron's values are a function on the group. Its variance over the elements is the sum of its variances in the spans
of the representations' matrix elements (Peter and Weyl): these shares add up to 1, whatever basis is chosen.

With 24 elements and 23 matrix elements something always correlates. So each share stands beside its chance, that of the
same values under labels dealt anew, and a neuron's p counts how often the best of all representations does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betainc

from bimt_tf.analysis.group_representations import Irrep
from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.analysis.group_values import DRAWS, centred, deals, p_value
from bimt_tf.errors import InputError

__all__ = ["NeuronSpectrum", "Share", "Spectrum", "powers", "spectrum"]

CHUNK = 4_000_000  # numbers of one block of draws
FINEST = 1e-12  # of what is left of a share, below which it is rounding
FEWER = 200  # draws for the correlation with the best matrix element, which takes a decomposition each


class Share(NamedTuple):
    """One representation's part of the variance: ``share``, its mean under chance, the 95% point of chance, ``p``."""

    irrep: str
    dim: int
    share: float
    chance: float
    chance_95: float
    p: float


class NeuronSpectrum(NamedTuple):
    """What one neuron is made of.

    ``best``: the representation whose share stands out most (by its tail among random directions, which makes shares of
    different dimensions comparable), with its ``share``; ``p``: how often chance's best of all stands out as much.
    ``element``: the representation whose matrix element, in any orthonormal basis, ``correlation`` is with: signed in
    one dimension, where a basis leaves no freedom; ``correlation_95``: the 95% point of the same maximum under chance.
    ``one``: correlations with the one-dimensional representations, sign included.
    """

    neuron: int
    spread: float
    shares: dict[str, float]
    best: str
    share: float
    p: float
    element: str
    correlation: float
    correlation_95: float
    one: dict[str, float]


class Spectrum(NamedTuple):
    """Shares of the whole embedding, largest gain over chance first, and of each neuron; how it was made."""

    shares: list[Share]
    neurons: list[NeuronSpectrum]
    elements: int
    draws: int
    seed: int

    def __repr__(self) -> str:
        told = ", ".join(f"{one.irrep} {one.share:.2f} (chance {one.chance:.2f})" for one in self.shares[:3])
        return f"Spectrum({len(self.neurons)} neurons of {self.elements} elements: {told})"

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts."""
        return {
            **self._asdict(),
            "shares": [one._asdict() for one in self.shares],
            "neurons": [one._asdict() for one in self.neurons],
        }


def spectrum(
    group: FiniteGroup,
    embedding: Any,
    representations: Sequence[Irrep],
    neurons: Sequence[int] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Spectrum:
    """The parts of an embedding in each representation, beside chance.

    Args:
        group: n elements, at least three.
        embedding: [n, neurons], a row an element; each neuron must vary.
        representations: all of them, of :func:`~bimt_tf.analysis.group_representations.irreps`.
        neurons: their numbers, for the answer; 0, 1, ... unless given.
        draws: how often labels are dealt anew.
        seed: of the draws.

    Raises:
        InputError: for an embedding of another shape, not finite, or with a neuron that is constant, or representations
            that are not all of the group's.
    """
    values = centred(group, embedding)
    parts = [one for one in representations if one.name != "trivial"]
    spanned = sum(one.functions.shape[1] for one in parts)
    if spanned != len(group) - 1 or len(group) < 3:
        raise InputError(
            f"representations must be all of a group of at least 3 elements: they span {spanned + 1} of {len(group)}"
        )
    numbers = list(range(values.shape[1])) if neurons is None else list(neurons)
    power = (values**2).sum(0)
    if len(numbers) != len(power):
        raise InputError(f"neurons must name each of {len(power)} columns, found {len(numbers)}")
    if not power.all():
        raise InputError(f"neuron {numbers[int((power == 0).argmax())]} is the same for every element: leave it out")
    orders = deals(group, draws, seed)
    found, chance = powers(values, parts, orders)
    whole, dealt = found.sum(1) / power.sum(), chance.sum(2) / power.sum()
    shares = [
        Share(one.name, one.dim, float(whole[i]), float(dealt[:, i].mean()), float(np.quantile(dealt[:, i], 0.95)),
              p_value(whole[i], dealt[:, i]))
        for i, one in enumerate(parts)
    ]  # fmt: skip
    shares.sort(key=lambda one: one.chance - one.share)
    each = [
        _neuron(values[:, j], number, parts, found[:, j] / power[j], chance[:, :, j] / power[j], orders)
        for j, number in enumerate(numbers)
    ]
    return Spectrum(shares, each, len(group), draws, seed)


def powers(
    values: Float[np.ndarray, "n neurons"], parts: Sequence[Irrep], orders: Int[np.ndarray, "draws n"]
) -> tuple[Float[np.ndarray, "irreps neurons"], Float[np.ndarray, "draws irreps neurons"]]:
    """The summed squares of each neuron in each representation, as the elements are and under every draw of labels."""
    basis = np.concatenate([one.functions for one in parts], 1).T
    starts = np.cumsum([0, *(one.functions.shape[1] for one in parts[:-1])])
    step = max(1, CHUNK // values.size)
    blocks = (values[orders[i : i + step]] for i in range(0, len(orders), step))
    chance = [np.add.reduceat((basis @ block) ** 2, starts, axis=1) for block in blocks]
    return np.add.reduceat((basis @ values) ** 2, starts, axis=0), np.concatenate(chance)


def _neuron(
    values: Float[np.ndarray, " n"],
    number: int,
    parts: Sequence[Irrep],
    shares: Float[np.ndarray, " irreps"],
    chance: Float[np.ndarray, "draws irreps"],
    orders: Int[np.ndarray, "draws n"],
) -> NeuronSpectrum:
    sizes = np.array([one.functions.shape[1] for one in parts])
    beyond = _surprise(shares, sizes)
    best = int(beyond.argmax())
    correlations = _correlations(values[None], parts)[0]
    element = int(np.abs(correlations).argmax())
    dealt = np.abs(_correlations(values[orders[:FEWER]], parts)).max(1)
    return NeuronSpectrum(
        number,
        float(values.std()),
        {one.name: float(share) for one, share in zip(parts, shares, strict=True)},
        parts[best].name,
        float(shares[best]),
        p_value(float(beyond[best]), _surprise(chance, sizes).max(1)),
        parts[element].name,
        float(correlations[element]),
        float(np.quantile(dealt, 0.95)),
        {one.name: float(c) for one, c in zip(parts, correlations, strict=True) if one.dim == 1},
    )


def _surprise(shares: Float[np.ndarray, "... irreps"], sizes: np.ndarray[Any, Any]) -> Float[np.ndarray, "... irreps"]:
    """-log of the chance that a random direction has as much of itself in spans of these sizes (a beta law)."""
    if len(sizes) == 1:
        return np.zeros_like(shares)  # all of everything is in the one representation
    left = np.clip(1 - shares, FINEST, 1.0)
    return np.asarray(-np.log(np.maximum(betainc((sizes.sum() - sizes) / 2, sizes / 2, left), 1e-300)))


def _correlations(values: Float[np.ndarray, "rows n"], parts: Sequence[Irrep]) -> Float[np.ndarray, "rows irreps"]:
    """The greatest correlation with a matrix element u.rho(g).v over unit vectors u and v; signed in one dimension.

    Every such function has the variance 1/d over the group, so the greatest is the largest singular value of
    sum_g f(g) rho(g).
    """
    found = []
    for one in parts:
        flat = values @ one.matrices.reshape(len(one.matrices), -1)
        if one.dim == 1:
            best = flat[:, 0]
        else:
            best = np.linalg.svd(flat.reshape(-1, one.dim, one.dim), compute_uv=False)[:, 0]
        found.append(best * np.sqrt(one.dim / len(one.matrices)))
    return np.stack(found, 1) / np.linalg.norm(values, axis=1, keepdims=True)
