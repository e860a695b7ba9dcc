"""Groups to test with: S4 by its permutations, cyclic groups, Klein's four, S3, the quaternions."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from bimt_tf.analysis.group_table import FiniteGroup, finite_group

KLEIN = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]


def symmetric(points: int) -> FiniteGroup:
    elements = list(permutations(range(points)))
    number = {a: i for i, a in enumerate(elements)}
    table = [[number[tuple(a[b[i]] for i in range(points))] for b in elements] for a in elements]
    return finite_group(table, ["".join(str(i + 1) for i in a) for a in elements], elements)


def cyclic(n: int) -> FiniteGroup:
    numbers = np.arange(n)
    return finite_group((numbers[:, None] + numbers) % n)


def quaternions() -> FiniteGroup:
    """1, i, j, k and their negatives, as 2 x 2 complex matrices."""
    i, j = np.array([[1j, 0], [0, -1j]]), np.array([[0, 1], [-1, 0]])
    units = [np.eye(2), i, j, i @ j]
    units += [-one for one in units]
    table = [[next(k for k, u in enumerate(units) if np.allclose(u, a @ b)) for b in units] for a in units]
    return finite_group(table, ["1", "i", "j", "k", "-1", "-i", "-j", "-k"])


def parity(group: FiniteGroup) -> np.ndarray:
    """The sign of each permutation, by counting inversions."""
    points = group.action.shape[1]
    pairs = [(i, j) for i in range(points) for j in range(i + 1, points)]
    return np.array([(-1) ** sum(a[i] > a[j] for i, j in pairs) for a in group.action])
