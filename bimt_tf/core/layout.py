"""Layout: which slot each neuron occupies. Swaps change it, and only baking (bake.py) moves weights.

Neurons move, weights stay (docs/concepts.md): exchanging two neurons' slots changes what the connection cost
sees exactly as exchanging their rows and columns would, and leaves the function untouched by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from bimt_tf.core.population import Population
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_kind, unknown

__all__ = ["Layout"]


class Layout:
    """Neuron -> slot for every population; it cannot be changed, a change is another layout.

    Args:
        slots: population -> int64 [neurons], a permutation of 0..neurons-1: the slot of each neuron. Copied.

    A layout fits a wiring (:meth:`check`) if each head's segment of neurons stands on one whole segment of slots, and
    populations with the same head axis agree on the segments.

    Raises:
        InputError: for what is no mapping or holds what is no tensor, has another dtype or shape, or is no permutation.
    """

    __slots__ = ("_own",)
    _own: Mapping[str, np.ndarray]

    def __init__(self, slots: Mapping[str, Int64[Tensor, "neurons"]]) -> None:
        require_kind("slots", slots, Mapping)
        own = {name: _read_only(name, given) for name, given in slots.items()}
        object.__setattr__(self, "_own", own)

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

    @classmethod
    def of_search(cls, slots: Mapping[str, np.ndarray]) -> Layout:
        """The layout that a search found: population -> neuron -> slot, permutations already; kept, not copied."""
        layout = cls.__new__(cls)
        for own in slots.values():
            own.flags.writeable = False
        object.__setattr__(layout, "_own", dict(slots))
        return layout

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> Layout:
        """The layout that :meth:`state` gave.

        Raises:
            InputError: for keys of another kind, or what is no layout.
        """
        require_kind("state", state, Mapping)
        for key in state:
            if not isinstance(key, str) or not key.startswith("slots."):
                raise InputError(f"a BIMT state holds 'slots.<population>' only, found {key!r}")
        return cls({key.removeprefix("slots."): slots for key, slots in state.items()})

    def state(self) -> dict[str, Tensor]:
        """The slots under the names ``slots.<population>``, int64 [neurons], as a state dict has them."""
        return {f"slots.{name}": slots for name, slots in self.slots.items()}

    @property
    def slots(self) -> dict[str, Int64[Tensor, "neurons"]]:
        """Population -> neuron -> slot, int64 on the CPU: copies, so that editing them changes no layout."""
        return {name: torch.tensor(own) for name, own in self._own.items()}

    def of(self, name: str) -> np.ndarray:
        """Neuron -> slot of one population, int64 [neurons], without a copy; NumPy refuses to write to it.

        Raises:
            InputError: for a population that the layout does not know.
        """
        if name not in self._own:
            raise unknown("population", name, self._own)
        return self._own[name]

    def order(self, name: str) -> Int64[Tensor, "slots"]:
        """Slot -> neuron of one population: the inverse of ``slots[name]``."""
        return torch.from_numpy(np.argsort(self.of(name)))

    def segments(self, population: Population) -> Int64[Tensor, "heads"]:
        """Head -> the segment of slots it occupies."""
        return torch.from_numpy(self.of(population.name)[:: population.head_size] // population.head_size)

    def places(self, coordinates: Mapping[str, Float[Tensor, "slots dims"]]) -> dict[str, Tensor]:
        """Population -> every neuron's coordinates [neurons, dims]: those of the slot that it occupies."""
        return {name: coordinates[name][torch.tensor(own)] for name, own in self._own.items()}

    def check(self, wiring: Wiring) -> None:
        """Raise InputError unless this is a layout of ``wiring`` that keeps every head together."""
        require_kind("wiring", wiring, Wiring)
        for name in self._own:
            if name not in wiring.populations:
                raise unknown("population in the layout", name, wiring.populations)
        for name, p in wiring.populations.items():
            if name not in self._own:
                raise InputError(f"the layout has no slots for population {name!r}")
            own = self._own[name]
            if len(own) != p.size:
                raise InputError(f"slots of population {name!r} must be int64 [{p.size}], found int64 [{len(own)}]")
            if p.heads > 1:
                by_head = own.reshape(p.heads, p.head_size) // p.head_size
                if (by_head != by_head[:, :1]).any():
                    raise InputError(f"slots of population {name!r} mix neurons of different heads in one segment")
        for axis, group in wiring.groups.items():
            for p in group[1:] if group[0].heads > 1 else ():
                if not torch.equal(self.segments(p), self.segments(group[0])):
                    raise InputError(
                        f"populations {group[0].name!r} and {p.name!r} disagree on the segments of their heads ({axis})"
                    )

    def moved(self, other: Layout) -> int:
        """How many neurons stand in another slot than in ``other``, a layout of the same populations."""
        return sum(int(np.count_nonzero(own != other.of(name))) for name, own in self._own.items())

    def __iter__(self) -> Iterator[str]:
        """The names of the populations."""
        return iter(self._own)

    def __eq__(self, other: object) -> bool:
        """Whether every neuron of the same populations stands in the same slot."""
        if not isinstance(other, Layout):
            return NotImplemented
        return self._own.keys() == other._own.keys() and all(
            np.array_equal(own, other._own[name]) for name, own in self._own.items()
        )

    def __hash__(self) -> int:
        return hash(frozenset((name, own.tobytes()) for name, own in self._own.items()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Layout cannot be changed ({name!r}): make another one and assign it to bimt.layout")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __reduce__(self) -> tuple[type[Layout], tuple[dict[str, Tensor]]]:
        return Layout, (self.slots,)  # pickled and copied arrays could be written to

    def __repr__(self) -> str:
        moved = sum(int((own != np.arange(len(own))).sum()) for own in self._own.values())
        neurons = sum(map(len, self._own.values()))
        return f"Layout({moved} of {neurons} neurons moved from the slot of their number, {len(self._own)} populations)"


def _read_only(name: str, slots: object) -> np.ndarray:
    """A copy of one population's slots that cannot be written to, once it is found to be a permutation."""
    if not isinstance(slots, Tensor):
        raise InputError(f"slots of population {name!r} must be a tensor, found a {type(slots).__name__}")
    if slots.dtype != torch.int64 or slots.ndim != 1:
        raise InputError(
            f"slots of population {name!r} must be int64 [neurons], found "
            f"{str(slots.dtype).removeprefix('torch.')} {list(slots.shape)}"
        )
    own = slots.numpy(force=True).copy()
    if not np.array_equal(np.sort(own), np.arange(len(own))):
        raise InputError(f"slots of population {name!r} are not a permutation of 0..{len(own) - 1}")
    own.flags.writeable = False
    return own
