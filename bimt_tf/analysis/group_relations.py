"""Whether an embedding is a linear image of a representation, and what group multiplication does to it (Appendix E).

The paper measures how well a linear map takes a faithful representation's matrix elements to the learned embedding
(Eqs. A5-A6; its loss is .56) and shows where it fails. Its text was not at hand here, so the loss below is ours: the
part of the embedding's variance that the best affine map leaves. Matrix elements of a representation in another basis
are linear images of each other, so the loss depends on the representation alone. Nine regressors explain 9/23 of
anything that 24 elements are given: each loss stands beside that of labels dealt anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bimt_tf.analysis.group_representations import Irrep
from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.analysis.group_values import DRAWS, centred, deals, p_value
from bimt_tf.errors import InputError

__all__ = ["ActionLoss", "LinearRelation", "action_loss", "linear_relations"]


class LinearRelation(NamedTuple):
    """An embedding as an affine function of one representation's matrix elements.

    ``loss``: the part of the variance that is left; ``chance``: its mean under labels dealt anew, ``chance_5`` the 5%
    point, ``p`` how often chance leaves as little; ``errors`` [n, neurons]: what is left of each value.
    """

    irrep: str
    faithful: bool
    loss: float
    chance: float
    chance_5: float
    p: float
    errors: list[list[float]]

    def __repr__(self) -> str:
        return f"LinearRelation({self.irrep}: loss {self.loss:.3f}, chance {self.chance:.3f})"


class ActionLoss(NamedTuple):
    """How far E(a b) is from a linear function M_a of E(b): ``loss``, its mean over a and b in units of the variance;
    ``chance``, ``chance_5``, ``p`` as :class:`LinearRelation`; ``errors`` [n, n]: for each a (row) and b (column).
    """

    loss: float
    chance: float
    chance_5: float
    p: float
    errors: list[list[float]]


def linear_relations(
    group: FiniteGroup, embedding: Any, representations: Sequence[Irrep], *, draws: int = DRAWS, seed: int = 0
) -> list[LinearRelation]:
    """The loss of every representation but the trivial one, least loss first.

    Args:
        group: n elements.
        embedding: [n, neurons], a row an element.
        representations: those to relate it to.
        draws: how often labels are dealt anew.
        seed: of the draws.

    Raises:
        InputError: for an embedding of another shape, not finite, or that is the same for all elements.
    """
    values = centred(group, embedding)
    power = float((values**2).sum())
    if not power:
        raise InputError("embedding is the same for every element: nothing varies that could be related")
    orders = deals(group, draws, seed)
    found = []
    for one in representations:
        if one.name == "trivial":
            continue
        basis = one.functions
        left = values - basis @ (basis.T @ values)
        loss = float((left**2).sum()) / power
        dealt = 1 - ((basis.T @ values[orders]) ** 2).sum((1, 2)) / power
        faithful = bool((np.abs(one.character - one.dim) < 1e-6).sum() == 1)
        found.append(
            LinearRelation(one.name, faithful, loss, float(dealt.mean()), float(np.quantile(dealt, 0.05)),
                           p_value(-loss, -dealt), left.tolist())
        )  # fmt: skip
    return sorted(found, key=lambda one: one.loss)


def action_loss(group: FiniteGroup, embedding: Any, *, draws: int = 200, seed: int = 0) -> ActionLoss | None:
    """Whether the group acts linearly on the embedding: for every a the best affine M_a with E(a b) = M_a E(b).

    It is 0 for all matrix elements of a representation together, and also for one column of them, and depends on no
    choice of representation. A random embedding of k neurons leaves 1 - k / (n - 1). None where the neurons span all
    functions of n elements, for then every M_a fits whatever is held.

    Args:
        group: n elements.
        embedding: [n, neurons], a row an element.
        draws: how often labels are dealt anew; each costs n regressions.
        seed: of the draws.

    Raises:
        InputError: as :func:`linear_relations`.
    """
    values = centred(group, embedding)
    power = float((values**2).mean(0).sum())
    if not power:
        raise InputError("embedding is the same for every element: nothing varies that could be related")
    if np.linalg.matrix_rank(values) >= len(group) - 1:
        return None
    errors = _acted(group, values) / power
    losses = np.array([_acted(group, values[order]).mean() / power for order in deals(group, draws, seed)])
    loss = float(errors.mean())
    return ActionLoss(
        loss, float(losses.mean()), float(np.quantile(losses, 0.05)), p_value(-loss, -losses), errors.tolist()
    )


def _acted(group: FiniteGroup, values: Float[np.ndarray, "n neurons"]) -> Float[np.ndarray, "n n"]:
    """The squared distance of each E(a b) from the best affine function of E(b), summed over neurons."""
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    basis = left[:, sizes > 1e-9 * sizes[0]]
    moved = values[group.table]  # a, b, neurons
    return np.asarray(((moved - basis @ (basis.T @ moved)) ** 2).sum(2))
