"""What is reordered when neurons move physically: each tensor once, in place, and back again exactly.

A move is a tensor and the axes by which a wiring knows it. Reordering exchanges rows and columns and computes nothing,
so the inverse orders restore every bit: no second copy of the model is kept (core/checked_bake.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bimt_tf.core.optimizer_state import states
from bimt_tf.core.population import Wired
from bimt_tf.core.sharing import memory
from bimt_tf.errors import InputError

__all__ = ["Move", "Orders", "changing", "inverse", "moves", "reorder_"]

Orders = Mapping[str, Tensor]
"""Population -> int64 [neurons]: new position -> old neuron."""


class Move(NamedTuple):
    """A tensor with the dimensions of ``wired``, each of their length or of length 1; ``name`` is for messages."""

    name: str
    wired: Wired
    tensor: Tensor


def changing(orders: Orders) -> dict[str, Tensor]:
    """The orders that are not the present one."""
    return {name: order for name, order in orders.items() if not torch.equal(order, torch.arange(len(order)))}


def inverse(orders: Orders) -> dict[str, Tensor]:
    """The orders that undo these."""
    return {name: order.argsort() for name, order in orders.items()}


def moves(
    wired: Iterable[Wired],
    tensors: Mapping[str, Tensor],
    populations: Iterable[str],
    optimizers: Sequence[torch.optim.Optimizer] = (),
) -> list[Move]:
    """All that moves with these populations: weights, buffers, their gradients, and the optimizers' states.

    Memory that several tensors share is moved once.

    Args:
        wired: the wiring's parameters and what is carried with them.
        tensors: their values by name.
        populations: those whose order changes.
        optimizers: whose states move too.

    Raises:
        InputError: for an optimizer that holds none of the tensors or keeps a state that cannot be reordered, a
            sparse gradient, or a tensor that is kept on a parameter and has another shape.
    """
    names = set(populations)
    moving = [one for one in wired if not names.isdisjoint(one.stands_on)]
    found = [Move(one.parameter, one, tensors[one.parameter]) for one in moving]
    found += [move for one in moving for move in _kept_on(one, tensors[one.parameter])]
    for optimizer in optimizers:
        kept = list(states(optimizer, {id(tensors[one.parameter]): one for one in moving}))
        found += [Move(name, one, tensor) for name, one, tensor in kept]
    seen: set[tuple[object, ...]] = set()
    for move in found:
        if any(step == 0 and size > 1 for step, size in zip(move.tensor.stride(), move.tensor.shape, strict=True)):
            raise InputError(f"{move.name} holds one number under several indices (an expanded tensor): clone it first")
    return [move for move in found if (at := memory(move.tensor)) not in seen and not seen.add(at)]  # type: ignore[func-returns-value]


def _kept_on(wired: Wired, tensor: Tensor) -> Iterator[Move]:
    """The gradient, and what else is kept on a parameter for each of its entries, such as Megatron's ``main_grad``."""
    gradient = tensor.grad if tensor.is_leaf else None
    if gradient is not None:
        if gradient.layout != torch.strided:
            raise InputError(f"the gradient of {wired.parameter!r} is sparse: call optimizer.zero_grad() before bake_")
        yield Move(f"the gradient of {wired.parameter!r}", wired, gradient)
    for own, kept in vars(tensor).items():
        if isinstance(kept, Tensor) and kept.numel() > 1:
            if kept.shape != wired.shape or kept.layout != torch.strided:
                raise InputError(
                    f"{own!r}, kept on {wired.parameter!r}, is {list(kept.shape)} and the parameter "
                    f"{list(wired.shape)}: it is not known how to move it; delete it before bake_"
                )
            yield Move(f"{own!r} of {wired.parameter!r}", wired, kept)


def reorder_(found: Sequence[Move], orders: Orders) -> None:
    """Reorder every tensor in place; after an exception all are as they were."""
    done: list[Move] = []
    with torch.no_grad():
        try:
            for move in found:
                done.append(move)
                move.tensor.copy_(_reordered(move, orders))
        except BaseException:
            for move in done[:-1]:  # the last one was not written: copy_ checks before it copies
                move.tensor.copy_(_reordered(move, inverse(orders)))
            raise


def _reordered(move: Move, orders: Orders) -> Tensor:
    """The tensor in the new order. One of length 1 along a dimension is constant along it, and stays so."""
    wired, tensor = move.wired, move.tensor.detach()
    flat = wired.flatten(tensor.expand(wired.shape))
    for dim, stage in enumerate(wired.stages, start=1):
        if stage.population in orders:
            flat = flat.index_select(dim, orders[stage.population].to(flat.device))
    found = wired.unflatten(flat)
    for dim, population, heads in wired.counted:
        if population in orders:
            size = len(orders[population]) // heads
            found = found.index_select(dim, orders[population][::size].to(found.device) // size)
    for dim, (length, whole) in enumerate(zip(tensor.shape, wired.shape, strict=True)):
        if length < whole:
            first = found.narrow(dim, 0, 1)
            if not torch.equal(first.expand_as(found), found):
                raise InputError(
                    f"{move.name} keeps one number for several neurons that move apart: it cannot be reordered; bake "
                    "before training, or after it without the optimizer"
                )
            found = first
    return found
