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
from bimt_tf.core.moves import changing, moves, reorder_
from bimt_tf.core.optimizer_state import optimizers_of, require_holds
from bimt_tf.core.population import Population
from bimt_tf.core.wiring import Wiring

__all__ = ["bake_", "orders_of"]


def bake_(
    wiring: Wiring,
    layout: Layout,
    parameters: Mapping[str, Tensor],
    optimizer: object = None,
) -> tuple[Layout, dict[str, Int64[Tensor, "slots"]]]:
    """Move neurons physically into slot order, in place, wherever that is a symmetry of the model.

    Weights, what is carried with them, their ``.grad``, and, given the optimizer, every tensor of its state whose shape
    says where it stands (core/optimizer_state.py) move alike, so training goes on as if nothing had happened. After an
    exception nothing has moved.

    Args:
        wiring: the model's.
        layout: where its neurons are.
        parameters: every tensor that ``wiring.moving`` names.
        optimizer: one optimizer, or several.

    Raises:
        InputError: when an optimizer holds none of the parameters, or a state that cannot be moved.

    Returns:
        The layout that remains (identity for what was baked whole; ``wiring.unbaked`` says what is not), and
        population -> the order applied: new position -> old neuron.
    """
    optimizers = optimizers_of(optimizer)
    for one in optimizers:
        require_holds(one, {wired.parameter: parameters[wired.parameter] for wired in wiring.moving})
    orders = orders_of(wiring, layout)
    changed = changing(orders)
    reorder_(moves(wiring.moving, parameters, changed, optimizers), changed)
    slots = layout.slots
    return Layout({name: s[orders[name]] if name in orders else s for name, s in slots.items()}), orders


def orders_of(wiring: Wiring, layout: Layout) -> dict[str, Int64[Tensor, "slots"]]:
    """New position -> old neuron of every population that may be reordered: sorted by slot as far as it may."""
    orders: dict[str, Tensor] = {}
    for group in wiring.groups.values():
        if all(p.bakeable for p in group):
            orders |= _orders(group, layout)
    return orders


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
