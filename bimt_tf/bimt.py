"""BIMT: a model, its wiring, a geometry and a layout, and what training does with them (paper, Section 2).

bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5), reduction="mean")
loss = task_loss + lam * bimt.cost()      # or, after backward: bimt.add_cost_grad_(lam)
bimt.swap()                               # now and then: neurons move, weights stay
bimt.bake_()                              # at the end: neurons into slot order
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bimt_tf.adapters import homes, wire
from bimt_tf.core import cost
from bimt_tf.core.bake import bake_
from bimt_tf.core.coefficient import Coefficient, Reduction, coefficients, scales
from bimt_tf.core.cost import Charged
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.core.placement import Placement
from bimt_tf.core.search import Method, SwapReport, search
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = ["BIMT"]

CACHED_ENTRIES = 2**22
"""Up to this many entries coefficients are kept as tensors between steps; beyond, coordinates alone are (cost.py)."""


class BIMT:
    """Brain-Inspired Modular Training of ``model``: connection cost, swaps, baking.

    Holds no weights of its own, registers nothing on the model and leaves global state alone.

    Args:
        model: any module that ``wire`` knows, or that ``wiring`` describes.
        geometry: width A, layer gap y_star, norm and shapes; by default A = 2, y_star = 0.5, L1.
        wiring: the model's wiring; ``wire(model)`` unless given.
        reduction: "mean" over each linear layer (the notebooks' transformers) or "sum" (Eq. 3).
        layout: where the neurons start; by default each in the slot of its own number.

    Raises:
        InputError: when the wiring, the layout or the reduction does not fit the model.
    """

    def __init__(
        self,
        model: nn.Module,
        geometry: Geometry | None = None,
        wiring: Wiring | None = None,
        reduction: Reduction = "mean",
        layout: Layout | None = None,
    ) -> None:
        self.model = model
        self._homes = homes(model)  # found once, as walking a model takes its time
        self.geometry = geometry if geometry is not None else Geometry()
        self.wiring = wiring if wiring is not None else wire(model)
        self.reduction: Reduction = reduction
        self.wiring.check(self.parameters)
        self.layout = layout if layout is not None else Layout.identity(self.wiring)
        self._scales = scales(self.wiring, reduction)
        self._coordinates = self.geometry.coordinates(self.wiring)
        self._cached: _Cached | None = None
        self.layout.check(self.wiring)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The model's parameters by name, each once."""
        return {name: getattr(module, own) for name, (module, own) in self._homes.items()}

    @property
    def places(self) -> dict[str, Float[Tensor, "neurons dims"]]:
        """Every neuron's coordinates (lengths): those of the slot it occupies. float64, CPU."""
        return self._places(self._coordinates)

    def _places(self, coordinates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: coordinates[name][slots] for name, slots in self.layout.slots.items()}

    def coefficients(self, width: float | None = None) -> dict[str, Tensor]:
        """Charged parameter -> what each of its entries pays per unit of |w| (cost.py); the parameter's shape.

        Args:
            width: A in the place of ``geometry.width`` (a length); 0 gives the coefficients of a plain L1 penalty.

        Raises:
            InputError: for a width that is negative or not finite.
        """
        if width is None:
            made = (c if isinstance(c, Tensor) else c.whole() for _, c in self._weights())
            return dict(zip(self._scales, made, strict=True))
        geometry = replace(self.geometry, width=width)
        with torch.inference_mode(False), torch.no_grad():
            found = coefficients(
                self.wiring, geometry, self._places(geometry.coordinates(self.wiring)), self._scales, self.parameters
            )
            return {name: c.whole() for name, c in found.items()}

    def cost(self) -> Float[Tensor, ""]:
        """The connection cost (Eqs. 3 and 4), differentiable in the weights."""
        return cost.total(self._weights())

    def add_cost_grad_(self, lam: float) -> None:
        """Add the gradient of ``lam * cost()`` to every ``.grad`` in place, without autograd; after backward."""
        cost.add_gradient_(self._weights(), lam)

    def shrink_(self, lam: float, optimizer: torch.optim.Optimizer) -> None:
        """The proximal step of ``lam * cost()`` after ``optimizer.step()``: exact zeros (cost.py)."""
        cost.shrink_(self._weights(), lam, optimizer)

    def placement(self, weights: Mapping[str, Tensor] | None = None) -> Placement:
        """The placement problem of the present weights, for searches and measurements.

        Args:
            weights: parameter -> a tensor of its shape, read in the place of the parameter's own values. What a weight
                pays is then that of these tensors; parameters that are not named are read from the model.

        Raises:
            InputError: for a name or a shape that is not the model's, or weights that are not finite.
        """
        read = self.parameters
        return Placement.of(
            self.wiring, self.geometry, self._coordinates, self._scales, {**read, **_in_place_of(read, weights or {})}
        )

    def swap(
        self,
        method: Method = "assignment",
        top_k: int = 30,
        *,
        weights: Mapping[str, Tensor] | None = None,
    ) -> SwapReport:
        """Move neurons to shorten the wiring (Section 2.2); no weight changes and the cost never rises.

        Args:
            method: "assignment" (exact per population, swept to a fixed point) or "greedy" (the paper's Step 3).
            top_k: the paper's k, for "greedy".
            weights: parameter -> a tensor of its shape that the search sees in the place of the parameter (as
                :meth:`placement` takes it): effective weights, for example. The report's costs are then theirs.

        Raises:
            InputError: for an unknown method, a bad ``top_k``, weights that do not fit or are not finite.
        """
        self.layout.check(self.wiring)
        self.layout, report = search(self.placement(weights), self.layout, method, top_k)
        return report

    def bake_(self, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Int64[Tensor, "slots"]]:
        """Move neurons physically into slot order where that leaves the model's function unchanged.

        Give the optimizer if training goes on: its moments move too. Inputs, outputs and other populations
        without that symmetry keep their slots in the layout.

        Returns:
            Baked population -> the order applied: new position -> old neuron.
        """
        self.layout.check(self.wiring)
        self.layout, orders = bake_(self.wiring, self.layout, self.parameters, optimizer)
        return orders

    def state_dict(self) -> dict[str, Tensor]:
        """The layout as tensors: ``slots.<population>`` -> int64 [neurons]. Weights are the model's own."""
        return {f"slots.{name}": slots.clone() for name, slots in self.layout.slots.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave; raises InputError if it is of another model."""
        for key in state:
            if not key.startswith("slots."):
                raise InputError(f"a BIMT state holds 'slots.<population>' only, found {key!r}")
        layout = Layout(
            {
                key.removeprefix("slots."): s.to("cpu", copy=True) if isinstance(s, Tensor) else s
                for key, s in state.items()
            }
        )
        layout.check(self.wiring)
        self.layout = layout

    def _weights(self) -> Iterator[Charged]:
        """(parameter, coefficient) of everything charged; coefficients are remade when the layout changed."""
        parameters = self.parameters
        like = next(iter(parameters.values()))
        slots = tuple(self.layout.slots.values())
        # an inference tensor counts no versions: its coefficients are made anew each time
        version = (*(object() if s.is_inference() else s._version for s in slots), like.device, like.dtype)
        if self._cached is None or self._cached.version != version or not _same(self._cached.slots, slots):
            self.layout.check(self.wiring)
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve a later backward pass
                self._cached = _Cached(slots, version, self._coefficients(parameters))
        yield from zip((parameters[name] for name in self._scales), self._cached.coefficients, strict=True)

    def _coefficients(self, parameters: Mapping[str, Tensor]) -> Sequence[Tensor | Coefficient]:
        """Of everything charged: whole for a small model, as coordinates for a large one."""
        made = list(coefficients(self.wiring, self.geometry, self.places, self._scales, parameters).values())
        small = sum(parameters[name].numel() for name in self._scales) <= CACHED_ENTRIES
        return [c.whole() for c in made] if small else made


def _in_place_of(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``weights``, once each is found to have the name and the shape of a parameter."""
    for name, tensor in weights.items():
        if name not in parameters:
            raise unknown("parameter in weights", name, parameters)
        if not isinstance(tensor, Tensor) or tensor.shape != parameters[name].shape:
            found = list(tensor.shape) if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
            raise InputError(f"weights[{name!r}] must be a tensor {list(parameters[name].shape)}, found {found}")
    return weights


class _Cached(NamedTuple):
    """Coefficients, and the layout (its very tensors and their versions), device and dtype they were made for."""

    slots: tuple[Tensor, ...]
    version: tuple[object, ...]
    coefficients: Sequence[Tensor | Coefficient]


def _same(these: tuple[Tensor, ...], those: tuple[Tensor, ...]) -> bool:
    return len(these) == len(those) and all(a is b for a, b in zip(these, those, strict=True))
