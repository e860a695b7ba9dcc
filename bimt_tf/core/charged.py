"""The charged weights of a model: each parameter beside its coefficients, which are remade only when they must be.

Between two swaps of a training thousands of steps need the same coefficients. They are kept until the layout, or a
parameter's device or dtype, is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.core.bundle import Bundles
from bimt_tf.core.coefficient import Coefficient, Reduction, coefficients, scales
from bimt_tf.core.cost import Charged
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.core.placement_plan import PlacementPlan
from bimt_tf.core.wiring import Wiring

__all__ = ["ChargedWeights"]

KEPT_WHOLE = 2**22
"""Up to this many entries coefficients are kept as tensors; beyond, their coordinates alone are (coefficient.py)."""


class ChargedWeights:
    """What a wiring's parameters pay in a geometry, for any layout and any parameters.

    ``scales``: charged parameter -> the factor of its lengths; ``coordinates``: population -> those of its slots
    [slots, dims], float64 lengths; ``bundles``: what the penalty of a small model is taken with (bundle.py).

    Raises:
        InputError: for an unknown reduction, or shapes that the wiring's populations do not fit.
    """

    def __init__(self, wiring: Wiring, geometry: Geometry, reduction: Reduction) -> None:
        self.wiring, self.geometry = wiring, geometry
        self.scales = scales(wiring, reduction)
        self.coordinates = geometry.coordinates(wiring)
        self.bundles = Bundles()
        self._kept: _Kept | None = None
        self._planned: PlacementPlan | None = None

    def plan(self, wiring: Wiring) -> PlacementPlan:
        """How a placement problem is read off the weights; ``wiring`` is the same, but for what holds a population."""
        if self._planned is None or self._planned.wiring is not wiring:
            self._planned = PlacementPlan.of(wiring, self.geometry, self.coordinates, self.scales)
        return self._planned

    def pairs(self, layout: Layout, parameters: Mapping[str, Tensor]) -> Iterator[Charged]:
        """(parameter, its coefficients) of everything charged, as the functions of cost.py take them."""
        charged = [parameters[name] for name in self.scales]
        alike = [p.dtype for p in charged], [p.device for p in charged]
        if self._kept is None or self._kept.layout is not layout or self._kept.alike != alike:
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve a later backward pass
                places = layout.places(self.coordinates)
                made = list(coefficients(self.wiring, self.geometry, places, self.scales, parameters).values())
                small = sum(p.numel() for p in charged) <= KEPT_WHOLE
                self._kept = _Kept(layout, alike, [c.whole() for c in made] if small else made)
        return zip(charged, self._kept.coefficients, strict=True)

    def coefficients(
        self, layout: Layout, parameters: Mapping[str, Tensor], width: float | None = None
    ) -> dict[str, Tensor]:
        """Charged parameter -> its coefficients, a tensor of its shape; under another ``width`` if one is given.

        Raises:
            InputError: for a width that is negative or not finite.
        """
        if width is None:
            made = (c.clone() if isinstance(c, Tensor) else c.whole() for _, c in self.pairs(layout, parameters))
            return dict(zip(self.scales, made, strict=True))
        geometry = replace(self.geometry, width=width)
        with torch.inference_mode(False), torch.no_grad():
            places = layout.places(geometry.coordinates(self.wiring))
            found = coefficients(self.wiring, geometry, places, self.scales, parameters)
            return {name: c.whole() for name, c in found.items()}


class _Kept(NamedTuple):
    """Coefficients, and the layout, dtypes and devices that they were made for."""

    layout: Layout
    alike: tuple[list[torch.dtype], list[torch.device]]
    coefficients: Sequence[Tensor | Coefficient]
