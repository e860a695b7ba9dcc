"""The rows that a curvature is made of in fact, where most of them are next to nothing.

Of cross entropy there is a row for each class of each example (objective.py), of the size sqrt(p_c) for a class that is
hardly likely. A trained network is sure of most classes of most examples, and the cost of J'J grows with the rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Drawn", "Rows", "drawn_rows", "heavy_rows", "rows_for"]

LEFT_OUT = 1e-6
"""What the rows that are left out have of the squared size of their class's, at most."""

WORTH = 0.5
"""Rows are picked out one by one only where no more than this share of them is left, for each then takes a pass."""

MOST_ROWS, EACH = 4_000, 4
"""Of more rows than so many, or than so many for each weight, that number is drawn."""


class Rows(NamedTuple):
    """Row ``row`` of example ``of``, one after the other."""

    of: Int64[Tensor, " rows"]
    row: Int64[Tensor, " rows"]


class Drawn(NamedTuple):
    """Some rows, and what to multiply each by, so that J'J of these is that of all on average."""

    rows: Rows
    scale: Float[Tensor, " rows"]


def rows_for(weights: int, sizes: Float[Tensor, "n rows"] | None) -> Drawn | None:
    """What the curvature by so many weights is made of: the heavy rows, or as many as it takes, drawn from all.

    None for all rows: where that is no dearer, or nothing is known of their sizes.
    """
    heavy = heavy_rows(sizes)
    if heavy is None or sizes is None:
        return None
    most = max(MOST_ROWS, EACH * weights)
    return Drawn(heavy, sizes.new_ones(len(heavy.of))) if len(heavy.of) <= most else drawn_rows(sizes, most)


def drawn_rows(sizes: Float[Tensor, "n rows"], count: int) -> Drawn:
    """``count`` of the rows, at even spaces along the sum of their squared sizes: the larger the likelier, and any one
    that has more than its share several times.
    """
    flat = sizes.flatten().nan_to_num(0.0, 0.0, 0.0).clamp_min(0)
    total = float(flat.sum())
    if not total > 0:
        flat, total = torch.ones_like(flat), float(flat.numel())
    places = (torch.arange(count, dtype=flat.dtype, device=flat.device) + 0.5) * (total / count)
    chosen = torch.searchsorted(flat.cumsum(0), places).clamp_max(len(flat) - 1)
    scale = (total / (count * flat[chosen].clamp_min(torch.finfo(flat.dtype).tiny))).sqrt()
    return Drawn(_rows(chosen, sizes.shape[1]), scale)


def heavy_rows(sizes: Float[Tensor, "n rows"] | None) -> Rows | None:
    """The rows that hold all but :data:`LEFT_OUT` of the squared sizes of each class, and the largest of each example;
    None where that is not worth it, or unknown.

    Each class and example by itself: those that are never in doubt have small rows alone, and weights that only they
    tell of.
    """
    if sizes is None or not bool(sizes.isfinite().all()):
        return None
    ordered, order = sizes.sort(0)
    heavy = ordered.cumsum(0) > LEFT_OUT * ordered.sum(0)
    picked = torch.zeros_like(heavy).scatter(0, order, heavy).scatter(1, sizes.argmax(1, keepdim=True), True)
    kept = picked.flatten().nonzero().squeeze(1)
    if not 0 < len(kept) <= WORTH * sizes.numel():
        return None
    return _rows(kept, sizes.shape[1])


def _rows(flat: Int64[Tensor, " rows"], each: int) -> Rows:
    """From places among all rows, ``each`` of an example."""
    return Rows(torch.div(flat, each, rounding_mode="floor"), flat % each)
