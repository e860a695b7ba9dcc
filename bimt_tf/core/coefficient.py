"""What each entry of a parameter pays per unit of its size: its wire's length, averaged over its layer or not.

    cost = sum over linear layers of r(d |w|) + r(y_star |b|),  r = sum (Eq. 3) or mean per layer (the notebooks)

Coefficients come whole, as a tensor of the parameter's shape, or as a :class:`Coefficient`, which holds coordinates
alone and is worked through in blocks: at 100 million parameters no second copy of the model is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.core.geometry import Geometry
from bimt_tf.core.population import Attachment, Connection
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import unknown

__all__ = ["Coefficient", "Index", "Reduction", "coefficients", "scales"]


Reduction = Literal["sum", "mean"]

BLOCK_ENTRIES, BLOCK_ENTRIES_GPU = 2**18, 2**24  # what a CPU's cache holds; on a GPU launches cost more than memory

Index = tuple[slice, ...]


def scales(wiring: Wiring, reduction: Reduction) -> dict[str, float]:
    """Charged parameter -> what its entries' lengths are multiplied with: 1, or 1 / entries of its layer.

    Weights and biases of a layer are averaged apart; [W_Q, W_K, W_V] is one layer.

    Raises:
        InputError: for an unknown reduction.
    """
    if reduction not in ("sum", "mean"):
        raise unknown("reduction", str(reduction), ("sum", "mean"))
    charged = [w for w in wiring.wired if isinstance(w, Connection) or w.charged]
    if reduction == "sum":
        return {w.parameter: 1.0 for w in charged}
    kind = {w.parameter: (w.layer, isinstance(w, Attachment) and w.is_bias) for w in charged}
    entries: Counter[tuple[str, bool]] = Counter()
    for w in charged:
        entries[kind[w.parameter]] += w.numel
    return {parameter: 1.0 / entries[key] for parameter, key in kind.items()}


@dataclass(frozen=True, eq=False)
class Coefficient:
    """What each entry of a parameter pays per unit of |w|: scale * d, from coordinates; or a constant without them.

    ``source`` and ``target`` hold the coordinates of both ends along the parameter's dimensions (``Wiring``'s
    ``spread``), on its device; what it pays is in the parameter's ``dtype``.
    """

    shape: tuple[int, ...]
    geometry: Geometry
    scale: float
    source: Tensor
    target: Tensor | None
    dtype: torch.dtype

    @classmethod
    def of(
        cls,
        wired: Connection | Attachment,
        geometry: Geometry,
        places: Mapping[str, Float[Tensor, "neurons dims"]],
        scale: float,
        like: Tensor,
    ) -> Coefficient:
        """``places`` holds every neuron's coordinates (lengths), that is, the coordinates of its slot."""
        if isinstance(wired, Attachment) or not wired.local:
            pays = torch.full((), scale * geometry.layer_gap, dtype=like.dtype, device=like.device)
            return cls(wired.shape, geometry, scale, pays, None, like.dtype)
        exact = torch.float64 if callable(geometry.norm) else like.dtype  # slot numbers may be its coordinates
        ends = (places[stage.population].to(like.device, exact) for stage in wired.stages)
        source, target = (wired.spread(end, i) for i, end in enumerate(ends))
        return cls(wired.shape, geometry, scale, source, target, like.dtype)

    def blocks(self) -> Iterator[Index]:
        """Indices that together cover the parameter, each of a part small enough to be worked on at once."""
        return _blocks(self.shape, BLOCK_ENTRIES if self.source.device.type == "cpu" else BLOCK_ENTRIES_GPU)

    def block(self, at: Index) -> Tensor:
        """The coefficients of one part, of the part's shape."""
        shape = [len(range(n)[rows]) for n, rows in zip(self.shape, at, strict=False)] + [*self.shape[len(at) :]]
        if self.target is None:
            return self.source.expand(shape)
        source, target = (_part(end, at) for end in (self.source, self.target))
        return self.geometry.lengths(source, target).mul_(self.scale).to(self.dtype).expand(shape)

    def whole(self) -> Tensor:
        """All of them: a tensor of the parameter's shape."""
        found = self.block(())
        return found if self.target is None else found.contiguous()


def coefficients(
    wiring: Wiring,
    geometry: Geometry,
    places: Mapping[str, Float[Tensor, "neurons dims"]],
    scale: Mapping[str, float],
    parameters: Mapping[str, Tensor],
) -> dict[str, Coefficient]:
    """Charged parameter -> its coefficient, in its dtype and on its device.

    Args:
        wiring: what joins what.
        geometry: how long a wire between two places is.
        places: population -> its neurons' coordinates in that geometry (lengths, float64).
        scale: charged parameter -> the factor of its lengths (:func:`scales`).
        parameters: the model's tensors by name; their values are not read.
    """
    charged = {wired.parameter: wired for wired in wiring.wired}
    return {
        name: Coefficient.of(charged[name], geometry, places, factor, parameters[name])
        for name, factor in scale.items()
    }


def _blocks(shape: tuple[int, ...], most: int) -> Iterator[Index]:
    """Slices of ``most`` entries or fewer, over as many leading dimensions as it takes."""
    if not shape:
        yield ()
        return
    row = prod(shape[1:])
    if row <= most or len(shape) == 1:
        rows = max(1, most // max(1, row))
        yield from ((slice(start, start + rows),) for start in range(0, shape[0], rows))
        return
    for start in range(shape[0]):
        yield from ((slice(start, start + 1), *rest) for rest in _blocks(shape[1:], most))


def _part(end: Tensor, at: Index) -> Tensor:
    return end[tuple(rows if length > 1 else slice(None) for rows, length in zip(at, end.shape, strict=False))]
