"""Baking: moving neurons physically into slot order. The only place that moves weights.

Swaps change a layout and leave the weights where they are (docs/concepts.md); baking exchanges rows and columns,
wherever that is a symmetry of the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int64
from torch import Tensor

from bimt_tf.core.layout import Layout
from bimt_tf.core.population import Attachment, Connection, Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["bake_"]


def bake_(
    wiring: Wiring,
    layout: Layout,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[Layout, dict[str, Int64[Tensor, "slots"]]]:
    """Move neurons physically into slot order, in place, wherever that is a symmetry of the model.

    Weights, their ``.grad``, and, given the optimizer, every per-entry state tensor (Adam's moments) move alike,
    so training goes on as if nothing had happened.

    Raises:
        InputError: when the optimizer holds none of the parameters.

    Returns:
        The layout that remains (identity for what was baked whole; ``wiring.unbaked`` says what is not), and
        population -> the order applied: new position -> old neuron.
    """
    orders: dict[str, Tensor] = {}
    for group in wiring.groups.values():
        if all(p.bakeable for p in group):
            orders |= _orders(group, layout)
    if optimizer is not None:
        held = {p for group in optimizer.param_groups for p in group["params"]}
        if not any(parameters[wired.parameter] in held for wired in wiring.wired):
            raise InputError("the optimizer holds none of the model's parameters: its moments cannot be moved")
    with torch.no_grad():
        for wired in wiring.wired:
            if not any(stage.population in orders for stage in wired.stages):
                continue  # also, what is not reordered would be written onto itself
            parameter = parameters[wired.parameter]
            state = optimizer.state.get(parameter, {}) if optimizer is not None else {}
            companions = [value for value in state.values() if _is_companion(value, parameter)]
            gradient = [] if parameter.grad is None else [parameter.grad]
            for tensor in (parameter, *gradient, *companions):
                tensor.copy_(_reordered(wired, tensor, orders))
    slots = layout.slots
    return Layout({name: s[orders[name]] if name in orders else s for name, s in slots.items()}), orders


def _orders(group: tuple[Population, ...], layout: Layout) -> dict[str, Int64[Tensor, "slots"]]:
    """New position -> old neuron, for populations that share their heads: sorted by slot as far as they may move."""
    segments = layout.segments(group[0])
    heads = torch.arange(len(segments)) if group[0].anchored else segments.argsort()  # new position -> old head
    orders = {}
    for p in group:
        free = torch.tensor(layout.of(p.name)).reshape(p.heads, p.head_size)[:, p.pinned :].argsort(dim=1) + p.pinned
        inside = torch.cat([torch.arange(p.pinned).expand(p.heads, -1), free], dim=1)
        orders[p.name] = (torch.arange(p.heads)[:, None] * p.head_size + inside)[heads].flatten()
    return orders


def _is_companion(value: object, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape == parameter.shape


def _reordered(wired: Connection | Attachment, tensor: Tensor, orders: Mapping[str, Tensor]) -> Tensor:
    flat = wired.flatten(tensor)
    for dim, stage in enumerate(wired.stages, start=1):
        if stage.population in orders:
            flat = flat.index_select(dim, orders[stage.population].to(flat.device))
    return wired.unflatten(flat)
