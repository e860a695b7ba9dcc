"""Taking many weights out at once: which go by the diagonal of the curvature, and how the rest of their rows makes up.

A weight costs w^2 H_qq, divided by the length of its wire: of two that cost the same the longer goes. What the weights
G of a row take with them, those that stay, K, give back as far as they can (sampled_curvature.py):

    w_K  +=  [A_KK]^-1 A_KG w_G

Choosing by the exact costs of brain surgeon inside the rows, w^2 / [A^-1]_qq, was no better and took three times as
long (docs/elimination-large.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bimt_tf.bimt import BIMT
from bimt_tf.core.charged import ChargedWeights
from bimt_tf.core.population import Connection
from bimt_tf.training.elimination.sampled_curvature import Sampled, grouped, rows, unrows

__all__ = ["remove_", "wire_lengths"]

DAMPING = 0.1
"""What A's diagonal is raised by, as a share of its mean."""

SHORTEST = 1e-2
"""The least length of a wire, as a share of the longest."""

CHUNK_ENTRIES = 2**20
"""Systems of rows are solved for so many entries of their matrices at once (4 MB of float32)."""


@torch.no_grad()
def wire_lengths(bimt: BIMT, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameter -> how long the wire of each entry is, as a share of the longest; a bias has the layer gap."""
    found = ChargedWeights(bimt.wiring, bimt.geometry, "sum").coefficients(bimt.layout, bimt.parameters)
    longest = max((float(lengths.max()) for lengths in found.values() if lengths.numel()), default=0.0)
    if not longest:
        return {name: torch.ones_like(p) for name, p in parameters.items()}
    gap = float(bimt.geometry.layer_gap)
    return {
        name: (found.pop(name) / longest).clamp_min_(SHORTEST)  # not in place: some are one number, expanded
        if name in found
        else torch.full_like(p, max(gap / longest, SHORTEST))
        for name, p in parameters.items()
    }


@torch.no_grad()
def remove_(
    parameters: Mapping[str, nn.Parameter],
    connections: Mapping[str, Connection],
    curvature: Sampled,
    lengths: Mapping[str, Tensor],
    count: int,
) -> None:
    """Set the ``count`` cheapest weights that are not zero to zero, and correct the rest of their rows.

    Args:
        parameters: by name; written to.
        connections: parameter -> its connection, of those that have one.
        curvature: at the weights as they are.
        lengths: :func:`wire_lengths`.
        count: at most all that are not zero.
    """
    costs = {
        name: (p.square() * curvature.diagonal[name] / lengths[name]).masked_fill_(p == 0, torch.inf)
        for name, p in parameters.items()
    }
    chosen = torch.cat([cost.flatten() for cost in costs.values()]).topk(count, largest=False, sorted=False).indices
    gone = torch.zeros(sum(cost.numel() for cost in costs.values()), dtype=torch.bool, device=chosen.device)
    gone[chosen] = True
    del costs, chosen
    for (name, p), mask in zip(parameters.items(), gone.split([p.numel() for p in parameters.values()]), strict=True):
        mask = mask.view(p.shape)
        if name in connections and bool(mask.any()):
            p.copy_(_corrected(connections[name], p, mask, curvature.joint[name]))
        p.masked_fill_(mask, 0)


def _corrected(
    connection: Connection, weight: Tensor, gone: Bool[Tensor, "..."], joint: Float[Tensor, "groups size size"]
) -> Tensor:
    """The weights that stay, moved to make up for those that go; where nothing can be told they stay as they are."""
    whole = rows(connection, weight)
    values, going = grouped(whole), grouped(rows(connection, gone.to(weight.dtype))) > 0
    groups, targets, size = values.shape
    result = values.clone()
    step = max(1, CHUNK_ENTRIES // size**2)
    for group in range(groups):
        matrix = joint[group]
        level = float(matrix.diagonal().mean())
        if not 0 < level < float("inf"):
            continue
        matrix = (matrix + DAMPING * level * torch.eye(size).to(matrix)).to(_solved(matrix.dtype))
        for first in range(0, targets, step):
            own, out = values[group, first : first + step], going[group, first : first + step]
            result[group, first : first + step] = _made_up(own.to(matrix), out, matrix).to(weight)
    columns = result.transpose(0, 1).flatten(1)[:, : whole.shape[1]]
    return unrows(connection, columns)


def _made_up(
    values: Float[Tensor, "rows size"], gone: Bool[Tensor, "rows size"], matrix: Float[Tensor, "size size"]
) -> Float[Tensor, "rows size"]:
    """Each row without what is gone, the others at the least of (change)' A (change); zeros stay zero."""
    stays = ((values != 0) & ~gone).to(matrix)
    missing = ((values * gone) @ matrix) * stays
    system = matrix * stays[:, :, None] * stays[:, None, :] + torch.diag_embed(1 - stays)
    factor, failed = torch.linalg.cholesky_ex(system)
    moved = torch.cholesky_solve(missing[:, :, None], factor)[:, :, 0] * stays
    sound = (failed == 0) & moved.isfinite().all(1)
    return values * stays + moved.where(sound[:, None], torch.zeros_like(moved))


def _solved(dtype: torch.dtype) -> torch.dtype:
    """Half precision has no Cholesky factors."""
    return torch.float32 if dtype.itemsize < 4 else dtype
