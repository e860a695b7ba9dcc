"""Which neurons are worth pairing, where there are too many for all pairs to be probed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.preprocessing import StandardScaler

__all__ = ["screen_pairs"]

PENALTY = 1e-6
"""Ridge penalty of the quadratic fits, for features of unit variance."""


def screen_pairs(
    x: Float[np.ndarray, "n neurons"], y: Float[np.ndarray, " n"], candidates: list[int], keep: int
) -> list[int]:
    """The neurons of the best pairs, at most ``keep`` of them, by R2 of a quadratic fit on the examples given.

    Every pair of candidates is fitted with z_i, z_j, z_i^2, z_j^2 and z_i z_j (z: standardised activations). The
    normal equations of all pairs follow from a few matrices of moments, so no pair is fitted by itself.

    Args:
        x: activations of the training examples.
        y: their target.
        candidates: columns of ``x`` to choose from.
        keep: neurons wanted, at least 2.
    """
    z, t = StandardScaler().fit_transform(x[:, candidates]), (y - y.mean()) / y.std()
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
        gram = np.array(rows).transpose(2, 0, 1) - mean[:, :, None] * mean[:, None, :] + PENALTY * np.eye(5)
        with_target = np.stack([one * linear[i], linear[j], one * square[i], square[j], mt[i, j]], axis=-1)
        explained = (with_target * np.linalg.solve(gram, with_target[..., None])[..., 0]).sum(-1)
        ranked += [(-float(r2), i, int(k)) for r2, k in zip(explained, j, strict=True)]
    chosen: dict[int, None] = {}
    for _, i, k in sorted(ranked):
        chosen |= {candidates[i]: None, candidates[k]: None}
        if len(chosen) >= keep:
            break
    return sorted(list(chosen)[:keep])
