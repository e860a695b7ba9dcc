"""Layout: which slot each neuron occupies. Swaps change it, and only :func:`bake_` here moves weights.

Neurons move, weights stay (docs/concepts.md): exchanging two neurons' slots changes what the connection cost
sees exactly as exchanging their rows and columns would, and leaves the function untouched by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from bimt_tf.core.population import Attachment, Connection, Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = ["Layout", "bake_"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Neuron -> slot for every population.

    ``slots[name]`` is an int64 CPU tensor [population size], a permutation that maps each head's segment of
    neurons onto one whole segment of slots; populations with the same head axis agree on the segments.
    """

    slots: dict[str, Int64[Tensor, "neurons"]]

    @classmethod
    def identity(cls, wiring: Wiring) -> Layout:
        """Every neuron in the slot of its own number."""
        return cls({name: torch.arange(p.size) for name, p in wiring.populations.items()})

    @classmethod
    def random(cls, wiring: Wiring, generator: torch.Generator) -> Layout:
        """A uniformly drawn layout: heads exchange segments, neurons move inside; fixed populations stay."""
        slots = {}
        for group in wiring.groups.values():
            heads = group[0].heads
            movable = all(p.movable for p in group)
            segments = torch.randperm(heads, generator=generator) if movable else torch.arange(heads)
            for p in group:
                inside = [
                    torch.randperm(p.head_size, generator=generator) if movable else torch.arange(p.head_size)
                    for _ in range(heads)
                ]
                slots[p.name] = (segments[:, None] * p.head_size + torch.stack(inside)).flatten()
        return cls({name: slots[name] for name in wiring.populations})

    def order(self, name: str) -> Int64[Tensor, "slots"]:
        """Slot -> neuron: the inverse of ``slots[name]``."""
        return torch.argsort(self.slots[name])

    def segments(self, population: Population) -> Int64[Tensor, "heads"]:
        """Head -> the segment of slots it occupies."""
        return self.slots[population.name][:: population.head_size] // population.head_size

    def check(self, wiring: Wiring) -> None:
        """Raise InputError unless this is a layout of ``wiring`` that keeps every head together."""
        for name in self.slots:
            if name not in wiring.populations:
                raise unknown("population in the layout", name, wiring.populations)
        for name, p in wiring.populations.items():
            if name not in self.slots:
                raise InputError(f"the layout has no slots for population {name!r}")
            slots = self.slots[name]
            if not isinstance(slots, Tensor):
                raise InputError(f"slots of population {name!r} must be a tensor, found a {type(slots).__name__}")
            if slots.dtype != torch.int64 or slots.shape != (p.size,):
                raise InputError(
                    f"slots of population {name!r} must be int64 [{p.size}], found {slots.dtype} {list(slots.shape)}"
                )
            if not torch.equal(slots.sort().values, torch.arange(p.size, device=slots.device)):
                raise InputError(f"slots of population {name!r} are not a permutation of 0..{p.size - 1}")
            by_head = slots.reshape(p.heads, p.head_size) // p.head_size
            if not torch.equal(by_head, by_head[:, :1].expand_as(by_head)):
                raise InputError(f"slots of population {name!r} mix neurons of different heads in one segment")
        for axis, group in wiring.groups.items():
            for p in group[1:]:
                if not torch.equal(self.segments(p), self.segments(group[0])):
                    raise InputError(
                        f"populations {group[0].name!r} and {p.name!r} disagree on the segments of their heads ({axis})"
                    )

    def moved(self, other: Layout) -> int:
        """How many neurons stand in another slot than in ``other``."""
        return sum(int((slots != other.slots[name]).sum()) for name, slots in self.slots.items())


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
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not any(id(parameters[wired.parameter]) in held for wired in wiring.wired):
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
    slots = {name: s[orders[name]] if name in orders else s.clone() for name, s in layout.slots.items()}
    return Layout(slots), orders


def _orders(group: tuple[Population, ...], layout: Layout) -> dict[str, Int64[Tensor, "slots"]]:
    """New position -> old neuron, for populations that share their heads: sorted by slot as far as they may move."""
    segments = layout.segments(group[0])
    heads = torch.arange(len(segments)) if group[0].anchored else segments.argsort()  # new position -> old head
    orders = {}
    for p in group:
        free = layout.slots[p.name].reshape(p.heads, p.head_size)[:, p.pinned :].argsort(dim=1) + p.pinned
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
