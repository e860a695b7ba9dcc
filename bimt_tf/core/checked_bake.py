"""Baking that looks at what it did: the outputs on a batch before and after, and everything back if they differ.

1. reorder every tensor (core/moves.py)           3. if an output moved further than rounding does, reorder back
2. run the batch again and compare                4. name the first module whose hidden states part, and the populations

Reordering back is exact, so that no copy of the weights is kept. Hidden states are compared by their sorted values,
which no right reordering changes: the first module, in the order of computation, whose sorted values differ is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bimt_tf.core.bake import bake_
from bimt_tf.core.layout import Layout
from bimt_tf.core.moves import Move, Orders, changing, inverse, moves, reorder_
from bimt_tf.core.outputs import Difference, compare, outputs, quietly, tolerance_of
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["checked_bake_", "reference"]

TRIED = 64
"""At most so many groups of populations are reordered one at a time to find those at fault."""


def checked_bake_(
    model: nn.Module,
    batch: object,
    before: dict[str, Tensor],
    wiring: Wiring,
    layout: Layout,
    tensors: dict[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer] = (),
    tolerance: float | None = None,
) -> tuple[Layout, dict[str, Tensor]]:
    """:func:`bimt_tf.core.bake.bake_`, undone in every bit if an output of ``model`` on ``batch`` moves.

    ``before``: these outputs now (:func:`reference`).

    Raises:
        InputError: for outputs that move, or that are not reproducible, so that nothing can be said.
    """
    made, orders = bake_(wiring, layout, tensors, optimizers)
    changed = changing(orders)
    found = moves(wiring.moving, tensors, changed, optimizers)
    try:
        with quietly(model):  # not around bake_: it puts buffers back, and those of the wiring have moved
            after = outputs(model, batch)
        difference = compare(before, after, tolerance)
    except BaseException:
        reorder_(found, inverse(changed))
        raise
    if difference is None:
        return made, orders
    reorder_(found, inverse(changed))
    with quietly(model):
        if compare(before, outputs(model, batch), tolerance) is not None:
            raise InputError(
                "the model gives other outputs each time it is run on the same batch in eval mode, so nothing can be "
                "compared: make it deterministic, or bake_(check=False); nothing was moved"
            )
        first = _first_parting(model, batch, found, changed)
        guilty = _guilty(model, batch, wiring, tensors, changed, before, tolerance)
    raise InputError(_says(difference, first, guilty))


def reference(model: nn.Module, batch: object) -> dict[str, Tensor]:
    """The outputs on the batch.

    Raises:
        InputError: for outputs without finite numbers, and where the model does not take the batch.
    """
    try:
        with quietly(model):
            found = outputs(model, batch)
    except Exception as error:  # whatever the model raises
        said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(f"the model does not take the batch of bake_(check=...) ({said})") from error
    if not any(tensor.is_floating_point() and bool(tensor.isfinite().any()) for tensor in found.values()):
        raise InputError("the model's outputs on the batch hold no finite numbers to compare: bake_(check=False)")
    return found


def _guilty(
    model: nn.Module,
    batch: object,
    wiring: Wiring,
    tensors: dict[str, Tensor],
    orders: Orders,
    before: dict[str, Tensor],
    tolerance: float | None,
) -> list[str]:
    """The populations whose own reordering moves an output, each group tried alone."""
    guilty = []
    groups = ({p.name: orders[p.name] for p in group if p.name in orders} for group in wiring.groups.values())
    for one in [group for group in groups if group][:TRIED]:
        found = moves(wiring.moving, tensors, one)
        reorder_(found, one)
        try:
            if compare(before, outputs(model, batch), tolerance) is not None:
                guilty += list(one)
        finally:
            reorder_(found, inverse(one))
    return guilty


def _first_parting(model: nn.Module, batch: object, found: Sequence[Move], orders: Orders) -> str | None:
    """The first module whose output holds other numbers after the reordering than before, in whatever order."""
    before = _sorted_states(model, batch)
    reorder_(found, orders)
    try:
        after = _sorted_states(model, batch)
    finally:
        reorder_(found, inverse(orders))
    for (path, old, share), (path_, new, _) in zip(before, after, strict=False):
        if path != path_ or old.shape != new.shape:
            return path
        if old.numel() and bool(((new - old).abs() > share * old.abs().max()).any()):
            return path
    return None


def _sorted_states(model: nn.Module, batch: object) -> list[tuple[str, Tensor, float]]:
    """(path, its output's numbers sorted, an example a row, what rounding may do) of every module as it computes."""
    found: list[tuple[str, Tensor, float]] = []

    def keep(path: str) -> Any:
        def hook(module: nn.Module, given: Any, made: Any) -> None:
            tensor = made[0] if isinstance(made, (tuple, list)) and made else made
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim > 1:
                numbers = tensor.detach().flatten(1).double().nan_to_num().sort(dim=1).values
                found.append((path, numbers, tolerance_of(tensor.dtype)))

        return hook

    handles = [module.register_forward_hook(keep(path)) for path, module in model.named_modules() if path]
    try:
        outputs(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _says(difference: Difference, first: str | None, guilty: Iterable[str]) -> str:
    name, change, size, allowed = difference
    names = list(guilty)
    shown = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    where = f" Hidden states part first at {first!r}." if first else ""
    what = (
        f" The order of {shown} counts in a way that the wiring does not know: leave it in the layout, "
        f"BIMT(model, wiring=bimt.wiring.holding({names[:3]}), layout=bimt.layout)."
        if names
        else ""
    )
    return (
        f"bake_ moved {name!r} by {change:.2g} of {size:.2g} (rounding may do {allowed:.1g}); all is back as it was."
        f"{where}{what}"
    )
