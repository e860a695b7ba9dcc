"""How far an intervention moves the output on the way that it should go.

before b, after a, wanted w: one row of numbers a pair. The wanted change is c = w - b, the move m = a - b.

- share = 1 - |w - a|^2 / |w - b|^2: of the wanted change, what is there; 1 is all, 0 none, below 0 worse than none.
- slope = m.c / c.c: how far along the line from b to w; 1 is the whole way.
- R2 = (m.c)^2 / (m.m c.c): how much of the move lies on the line; None where nothing moved.

Of answers (classes, whole numbers) share is that of the pairs whose answer becomes the wanted one, among those in which
it was another; slope and R2 are None.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from bimt_tf.errors import InputError

__all__ = ["INTERVAL", "Line", "Move"]

INTERVAL = 0.95
"""Probability that intervals and random sets are given for."""

DRAWS = 1_000
"""Draws of a bootstrap."""


class Move(NamedTuple):
    """How far the output moved (module text)."""

    share: float
    slope: float | None
    r2: float | None

    def as_dict(self) -> dict[str, float | None]:
        """The result as a dict of numbers, ready for JSON."""
        return self._asdict()


class Line:
    """The way from outputs as they are to outputs as they are wanted.

    Args:
        before: the outputs without intervention, [n, ...]; whole numbers are classes.
        wanted: what they should become, of the same shape.

    Raises:
        InputError: for other shapes, numbers beside classes, numbers that are not finite, or a wanted output that is
            the present one in every pair.
    """

    def __init__(self, before: Shaped[Tensor, "n ..."], wanted: Shaped[Tensor, "n ..."]) -> None:
        if before.shape != wanted.shape:
            raise InputError(
                f"wanted must have the shape of what is read of the output, {list(before.shape)}, "
                f"found {list(wanted.shape)}"
            )
        self.answers = not before.is_floating_point()
        if wanted.is_floating_point() is self.answers:
            kinds = "whole numbers (classes)" if self.answers else "numbers that are not whole"
            raise InputError(f"wanted must hold {kinds} as what is read of the output does, found {wanted.dtype}")
        self._before, self._wanted = self._rows(before, "the output"), self._rows(wanted, "wanted")
        self._differs = (self._before != self._wanted).any(1)
        if not self._differs.any():
            raise InputError("the wanted output is the present one in every pair: nothing is left to explain")

    @property
    def pairs(self) -> int:
        """Pairs that count: all, or of answers those in which another is wanted."""
        return int(self._differs.sum()) if self.answers else len(self._before)

    @property
    def wanted_rms(self) -> float | None:
        """Root mean square of the wanted change; None for answers."""
        return None if self.answers else float((self._wanted - self._before).square().mean().sqrt())

    def move(self, after: Shaped[Tensor, "n ..."]) -> Move:
        """How far the outputs have moved."""
        moved = self._rows(after, "the output after the intervention")
        gained, whole = self._of_each_pair(moved)
        share = float(gained.sum() / whole.sum())
        if self.answers:
            return Move(share, None, None)
        change, move = self._wanted - self._before, moved - self._before
        along, size = float((move * change).sum()), float(move.square().sum())
        length = float(change.square().sum())
        return Move(share, along / length, along**2 / (size * length) if size > 0 else None)

    def interval(self, after: Shaped[Tensor, "n ..."], generator: torch.Generator) -> tuple[float, float]:
        """Bootstrap interval of the share over pairs, of probability :data:`INTERVAL`."""
        gained, whole = self._of_each_pair(self._rows(after, "the output after the intervention"))
        chosen = torch.randint(len(gained), (DRAWS, len(gained)), generator=generator)
        total = whole[chosen].sum(1)
        shares = (gained[chosen].sum(1) / total)[total > 0]
        tail = (1 - INTERVAL) / 2
        low, high = torch.quantile(shares, torch.tensor([tail, 1 - tail], dtype=shares.dtype)).tolist()
        return low, high

    def _of_each_pair(self, moved: Tensor) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """What each pair adds to the share's numerator and denominator."""
        if self.answers:
            return ((moved == self._wanted).all(1) & self._differs).double(), self._differs.double()
        left, whole = ((self._wanted - rows).square().sum(1) for rows in (moved, self._before))
        return whole - left, whole

    def _rows(self, values: Tensor, what: str) -> Tensor:
        rows = values.detach().to("cpu").reshape(len(values), -1)
        rows = rows if self.answers else rows.double()
        if not self.answers and not rows.isfinite().all():
            raise InputError(f"{what} holds numbers that are NaN or infinite")
        return rows
