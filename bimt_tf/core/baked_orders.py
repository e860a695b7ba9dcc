"""Where baking has moved each neuron so far, for tensors that a model does not know of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int64
from torch import Tensor

from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_kind, require_known

__all__ = ["BakedOrders"]


class BakedOrders:
    """Population -> the order of all bakes together: present position -> the neuron that stood there at first."""

    def __init__(self) -> None:
        self._orders: dict[str, Tensor] = {}

    def add(self, orders: Mapping[str, Int64[Tensor, " slots"]]) -> None:
        """Another bake: population -> new position -> the position before it."""
        for name, order in orders.items():
            self._orders[name] = self._orders[name][order] if name in self._orders else order.clone()

    def applied(self, wiring: Wiring, tensor: Tensor, population: str, axis: int, *, inverse: bool) -> Tensor:
        """A copy of the tensor with its axis in the present order, or back in the first one.

        Raises:
            InputError: for an unknown population, what is no tensor, or an axis of another length.
        """
        require_known("population", population, wiring.populations)
        size = wiring.populations[population].size
        require_kind("tensor", tensor, Tensor)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise InputError(f"axis must be a whole number, found {axis!r}")
        if not -tensor.ndim <= axis < tensor.ndim or tensor.shape[axis] != size:
            found = list(tensor.shape)
            raise InputError(f"axis {axis} of the tensor {found} is not the {size} neurons of {population!r}")
        order = self._orders.get(population, torch.arange(size))
        return tensor.index_select(axis, (order.argsort() if inverse else order).to(tensor.device))
