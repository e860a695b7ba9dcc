"""Geometry: where the slots are, and how long a wire between two of them is (paper, Section 2.1).

d(in, out) = A |x_in - x_out| + y_star (L1) or sqrt((A |x_in - x_out|)^2 + y_star^2) (L2), with the width A and the
layer gap y_star. Slot j of n stands at x = (j + 1/2) / n; a population may instead lie on a grid, a ring, or on
coordinates of the user's own, all in units of the width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_kind, require_known, require_non_negative, unknown

__all__ = ["Distance", "Geometry", "Shape"]

Shape = Literal["line", "grid", "ring"] | tuple[int, int] | Tensor
"""Where a population's slots lie: a line, a near-square grid, a ring, a rows x columns grid, or coordinates
[slots, dims] in units of the width."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""A distance of one's own within the layers: (source [..., dims], target [..., dims]) -> [...], float64, on any device;
shape against shape as they broadcast, the same both ways, finite and not negative. The layer gap is added to it."""

CENTRE = 0.5  # where a population with fewer dimensions than another stands in the missing ones


@dataclass(frozen=True, repr=False)
class Geometry:
    """Slot coordinates and the length of a wire.

    Args:
        width: A, the extent of every population (a length; 0 makes the penalty a plain L1).
        layer_gap: y_star, the distance between neighbouring layers, and what a bias pays (a length).
        norm: "l1", "l2" or a :data:`Distance`; with slot numbers as coordinates it may look up any matrix.
        shapes: population, or a pattern such as ``"hidden*"`` for all that it fits, -> :data:`Shape`; those not
            named lie on a line. A population's own name goes before patterns, of these the first that fits.

    Raises:
        InputError: for a negative or non-finite width or layer gap, an unknown norm, or shapes that are no
            mapping of names.
    """

    width: float = 2.0
    layer_gap: float = 0.5
    norm: Literal["l1", "l2"] | Distance = "l1"
    shapes: Mapping[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_non_negative("width", self.width)
        require_non_negative("layer_gap", self.layer_gap)
        if not callable(self.norm):
            require_known("norm", self.norm, ("l1", "l2"))
        require_kind("shapes", self.shapes, Mapping)
        for name in self.shapes:
            require_kind("a population in shapes", name, str)

    def __repr__(self) -> str:
        shapes = {
            name: f"<coordinates {list(shape.shape)}>" if isinstance(shape, Tensor) else repr(shape)
            for name, shape in self.shapes.items()
        }
        said = f", shapes={{{', '.join(f'{name!r}: {shape}' for name, shape in shapes.items())}}}" if shapes else ""
        norm = getattr(self.norm, "__name__", repr(self.norm)) if callable(self.norm) else repr(self.norm)
        return f"Geometry(width={self.width}, layer_gap={self.layer_gap}, norm={norm}{said})"

    def coordinates(self, wiring: Wiring) -> dict[str, Float[Tensor, "slots dims"]]:
        """Slot coordinates of every population as lengths, in float64; all have the same number of dimensions.

        Raises:
            InputError: for a shape whose population is not there, or that has no place for all its neurons.
        """
        for name in self.shapes:
            if not any(_fits(name, population) for population in wiring.populations):
                raise unknown("population in shapes", name, wiring.populations)
        units = {
            name: _unit_coordinates(name, self._shape(name), population.size)
            for name, population in wiring.populations.items()
        }
        dims = max(unit.shape[1] for unit in units.values())
        return {
            name: self.width * torch.nn.functional.pad(unit, (0, dims - unit.shape[1]), value=CENTRE)
            for name, unit in units.items()
        }

    def _shape(self, name: str) -> Shape:
        if name in self.shapes:
            return self.shapes[name]
        return next((shape for pattern, shape in self.shapes.items() if _fits(pattern, name)), "line")

    def distance(self, source: Float[Tensor, "n dims"], target: Float[Tensor, "m dims"]) -> Float[Tensor, "n m"]:
        """Wire lengths between coordinates of two neighbouring layers."""
        return self.lengths(source[:, None], target[None])

    def lengths(self, source: Float[Tensor, "... dims"], target: Float[Tensor, "... dims"]) -> Float[Tensor, "..."]:
        """Wire lengths between coordinates of two neighbouring layers, shape against shape as they broadcast.

        Raises:
            InputError: for a distance of one's own that gives another shape, or what is no length.
        """
        if callable(self.norm):
            return _checked(self.norm, source.double(), target.double()).add(self.layer_gap).to(source.dtype)
        if self.norm == "l1":
            lengths = (source[..., 0] - target[..., 0]).abs_()
            for dim in range(1, source.shape[-1]):
                lengths += (source[..., dim] - target[..., dim]).abs_()
            return lengths.add_(self.layer_gap)
        squares = (source[..., 0] - target[..., 0]).square_()
        for dim in range(1, source.shape[-1]):
            squares += (source[..., dim] - target[..., dim]).square_()
        return squares.add_(self.layer_gap**2).sqrt_()


def _checked(distance: Distance, source: Tensor, target: Tensor) -> Tensor:
    """What a user's distance gives, if it can be one."""
    found: Any = distance(source, target)
    shape = torch.broadcast_shapes(source.shape[:-1], target.shape[:-1])
    name = getattr(distance, "__name__", type(distance).__name__)
    if not isinstance(found, Tensor) or found.shape != shape:
        given = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InputError(f"the distance {name} must give a tensor {list(shape)}, found {given}")
    found = found.double()
    if not torch.isfinite(found).all() or (found < 0).any():
        raise InputError(f"the distance {name} must give finite numbers of at least 0")
    if not torch.equal(found, distance(target, source).double()):
        raise InputError(f"the distance {name} must be the same from source to target as back")
    return found


def _fits(pattern: str, population: str) -> bool:
    """Whether a shape's name means this population; a name without ``*``, ``?`` or ``[`` fits itself alone."""
    return fnmatchcase(population, pattern)


def _centres(n: int) -> Float[Tensor, " n"]:
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def _unit_coordinates(name: str, shape: Shape, size: int) -> Float[Tensor, "slots dims"]:
    if isinstance(shape, Tensor):
        if shape.ndim != 2 or shape.shape[0] != size or shape.shape[1] == 0:
            raise InputError(
                f"coordinates of population {name!r} must have shape [{size}, dims], found {list(shape.shape)}"
            )
        if not torch.isfinite(shape).all():
            raise InputError(f"coordinates of population {name!r} must be finite")
        return shape.detach().to("cpu", torch.float64)
    if not isinstance(shape, (str, tuple)):
        raise InputError(
            f"the shape of population {name!r} must be 'line', 'grid', 'ring', (rows, columns) or a tensor "
            f"[{size}, dims], found a {type(shape).__name__}"
        )
    if shape == "line":
        return _centres(size)[:, None]
    if shape == "ring":
        angle = 2 * math.pi * _centres(size)
        return CENTRE + torch.stack([angle.cos(), angle.sin()], dim=1) / 2
    if shape == "grid":
        columns = math.ceil(math.sqrt(size))
        shape = (math.ceil(size / columns), columns)
    if not isinstance(shape, tuple):
        raise unknown(f"shape of population {name!r}", str(shape), ("line", "grid", "ring"))
    if len(shape) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
        raise InputError(f"the grid of population {name!r} must be (rows, columns), whole numbers, found {shape!r}")
    rows, columns = shape
    if rows * columns < size:
        raise InputError(f"a {rows} x {columns} grid is too small for the {size} neurons of population {name!r}")
    index = torch.arange(size)
    return torch.stack([_centres(columns)[index % columns], _centres(rows)[index // columns]], dim=1)
