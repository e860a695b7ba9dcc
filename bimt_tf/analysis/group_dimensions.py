"""Effective dimensions of an embedding of a group (paper, Eqs. A7-A9), and the faithful representations' own.

    p = |E| / sum |E| over all entries,   S = - sum p ln p,   effective dimension = exp(S)

is how many of the entries (elements x neurons) an embedding uses: m equal entries and zeros give m. The paper's text
was not at hand: this is the definition by which the standard representation of S4 has the paper's numbers in the
three bases that textbooks use, 120 for e_i - e_(i+1), 108 for e_i - e_4 and 152.98 for an orthonormal one (Young's). An
entropy of squares gives 126 for the last, a participation ratio 143 or 109, the number of nonzeros 168, so no
other of the usual measures gives all three. A fourth basis, in which S4 permutes and reflects the axes of a cube, gives
72: less than what the paper found learned (about 80), so "fewer than any faithful representation" holds of the three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.errors import InputError, require_known

__all__ = ["BASES", "effective_dimension", "standard_dimensions", "standard_matrices"]

BASES = ("neighbours", "last", "orthogonal", "cube")
"""Of the standard representation: e_i - e_(i+1); e_i - e_n; Young's orthonormal one; the cube's axes (four points)."""


def effective_dimension(values: Any) -> float:
    """How many entries are used: exp of the entropy of their sizes, from 1 to their number.

    Args:
        values: any shape; the embedding of the active neurons [n, neurons], or matrices [n, d, d].

    Raises:
        InputError: for what is no array of finite numbers, or zeros alone.
    """
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all() or not array.any():
        raise InputError("values must be finite numbers and not all zero")
    sizes = np.abs(array.astype(np.float64)).ravel()
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def standard_matrices(group: FiniteGroup, basis: str) -> Float[np.ndarray, "n d d"]:
    """The standard representation of a group's action on points, on the vectors whose entries sum to 0, in a basis.

    Args:
        group: with an action on at least two points.
        basis: one of BASES.

    Raises:
        InputError: for a group without an action, another basis, or "cube" for other than four points.
    """
    require_known("basis", basis, BASES)
    if group.action is None or group.action.shape[1] < 2:
        raise InputError(f"{group} has no action on points: finite_group(table, names, action) takes one")
    points = group.action.shape[1]
    unit = np.eye(points)
    if basis == "cube":
        if points != 4:
            raise InputError(f"the cube's axes are of four points, found {points}")
        columns = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]).T / 2
    elif basis == "neighbours":
        columns = unit[:, :-1] - unit[:, 1:]
    elif basis == "last":
        columns = unit[:, :-1] - unit[:, -1:]
    else:
        rows = [np.concatenate([np.ones(k), [-k], np.zeros(points - k - 1)]) for k in range(1, points)]
        columns = np.array([row / np.linalg.norm(row) for row in rows]).T
    moved = np.stack([unit[:, row] for row in group.action]) @ columns
    return np.asarray(np.linalg.pinv(columns) @ moved)


def standard_dimensions(group: FiniteGroup, bases: Sequence[str] = BASES) -> dict[str, float]:
    """The effective dimension of the standard representation in each basis; {} of a group without an action.

    Raises:
        InputError: as :func:`standard_matrices`.
    """
    if group.action is None:
        return {}
    points = group.action.shape[1]
    there = [one for one in bases if one != "cube" or points == 4]
    return {one: effective_dimension(np.round(standard_matrices(group, one), 12)) for one in there}
