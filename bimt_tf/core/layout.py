"""Layout: which slot each neuron occupies. Swaps change it, and only baking (bake.py) moves weights.

Neurons move, weights stay (docs/concepts.md): exchanging two neurons' slots changes what the connection cost
sees exactly as exchanging their rows and columns would, and leaves the function untouched by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from bimt_tf.core.population import Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = ["Layout"]


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
