"""What a wiring is made of: populations of neurons, their stages, and the parameters that join or hang on them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod

import einops
import numpy as np
from torch import Tensor

__all__ = ["COPY", "Attachment", "Connection", "Node", "Population", "Stage", "Unfolding", "Wired"]

COPY = "z"
"""First letter, in an einops pattern, of an axis without coordinates."""

Node = tuple[str, int]
"""One neuron: its stage or its population, and its number. A population's node stands for the neuron at every depth."""


@dataclass(frozen=True)
class Population:
    """A named set of neurons that share one order.

    ``size`` neurons in ``heads`` contiguous segments of equal length; neuron ``head * head_size + e`` is
    neuron ``e`` of its head. Populations with the same ``head_axis`` exchange whole heads together.
    ``movable``: its neurons may change slots. ``bakeable``: reordering it physically is a symmetry of the model;
    in part where the first ``pinned`` neurons of each head must keep their place inside it (rotary positions), or
    where the heads are ``anchored``, each to its number (ALiBi). ``why`` says what holds a population that
    :mod:`bimt_tf.core.review` found to be held, in whole (not ``bakeable``) or by its heads (``anchored``).
    """

    name: str
    size: int
    heads: int = 1
    head_axis: str | None = None
    movable: bool = True
    bakeable: bool = True
    pinned: int = 0
    anchored: bool = False
    why: str = ""

    @property
    def head_size(self) -> int:
        """Neurons in one head's segment."""
        return self.size // self.heads

    @property
    def group(self) -> str:
        """The populations that move as one: those that share a head axis, or this one alone."""
        return self.head_axis or self.name


@dataclass(frozen=True)
class Stage:
    """Where a population takes part: ``depth`` counts rows of the drawing, ``column`` places within one."""

    name: str
    population: str
    depth: int
    column: int = 0


def _groups(pattern: str) -> list[str]:
    """The dimensions of an einops pattern, "(a0 a1) a2" -> "(a0 a1)" and "a2"."""
    return re.findall(r"\(.*?\)|\S+", pattern)


def _words(dim: str) -> list[str]:
    return dim.strip("()").split()


@dataclass(frozen=True)
class Wired:
    """A parameter and the populations its axes spell: ``spelled`` and ``flat`` are einops patterns.

    ``axes``: the names of the axes folded into each dimension, without stages; "_" for one without coordinates.
    ``counted``: (dimension, population, heads) where a dimension counts the heads of a population that has no other
    part in the parameter, as a router's rows count experts: they move with whole heads, and have no coordinates.
    """

    parameter: str
    shape: tuple[int, ...]
    layer: str
    stages: tuple[Stage, ...]
    spelled: str
    flat: str
    lengths: tuple[tuple[str, int], ...] = field(repr=False)
    axes: tuple[tuple[str, ...], ...] = field(repr=False)
    counted: tuple[tuple[int, str, int], ...] = field(default=(), repr=False)

    @property
    def stands_on(self) -> list[str]:
        """The populations whose order says where its entries stand."""
        return [*(stage.population for stage in self.stages), *(name for _, name, _ in self.counted)]

    def flatten(self, tensor: Tensor) -> Tensor:
        """Rearrange a tensor of this parameter's shape to [copies, *population sizes]."""
        return einops.rearrange(tensor, f"{self.spelled} -> {self.flat}", **dict(self.lengths))

    def unflatten(self, tensor: Tensor) -> Tensor:
        """The inverse of :meth:`flatten`; a leading dimension of 1 is repeated over the copies."""
        copies = prod(self.shape) // prod(tensor.shape[1:])
        return einops.rearrange(
            tensor.expand(copies, *tensor.shape[1:]), f"{self.flat} -> {self.spelled}", **dict(self.lengths)
        )

    def spread(self, tensor: Tensor, end: int) -> Tensor:
        """Lay [neurons of ``stages[end]``, n] along the parameter's own dimensions: [*dimensions, n].

        A dimension that the population has no part in has length 1: what comes back is small, and broadcasts.
        """
        neurons = _groups(self.flat)[1 + end]
        own = set(_words(neurons))
        kept = [dim if own & set(_words(dim)) else "1" for dim in _groups(self.spelled)]
        named = {word for dim in kept for word in _words(dim)}
        lengths = {letter: n for letter, n in self.lengths if letter in named}
        return einops.repeat(tensor, f"{neurons} n -> {' '.join(kept)} n", **lengths)

    @property
    def numel(self) -> int:
        """Entries of the parameter."""
        return prod(self.shape)


@dataclass(frozen=True)
class Unfolding:
    """What :meth:`Wired.flatten` does to the axes of one parameter, found once: split, put in order, join."""

    split: tuple[int, ...]
    order: tuple[int, ...]
    joined: tuple[int, ...]

    @classmethod
    def of(cls, wired: Wired) -> Unfolding:
        """Of a parameter's patterns."""
        length = dict(wired.lengths)
        spelled = [word for dim in _groups(wired.spelled) for word in _words(dim)]
        flat = [_words(dim) for dim in _groups(wired.flat)]
        split = tuple(1 if word == "1" else length[word] for word in spelled)
        order = tuple(spelled.index(word) for dim in flat for word in dim if word != "1")
        joined = tuple(prod(length[word] for word in dim if word != "1") for dim in flat)
        rest = tuple(i for i in range(len(spelled)) if i not in order)  # of length 1
        return cls(split, rest + order, joined)

    def of_array(self, array: np.ndarray) -> np.ndarray:
        """The parameter's numbers as [copies, *population sizes]; a view where that is one."""
        return array.reshape(self.split).transpose(self.order).reshape(self.joined)

    def of_tensor(self, tensor: Tensor) -> Tensor:
        """The same of a tensor."""
        return tensor.reshape(self.split).permute(self.order).reshape(self.joined)


@dataclass(frozen=True)
class Connection(Wired):
    """A weight tensor between two populations, and the linear layer it belongs to.

    ``flatten`` gives [copies, source neurons, target neurons]; the source is the shallower stage.
    ``local``: its weights pay for their length; if not, each pays the layer gap y_star alone, wherever it leads.
    """

    local: bool = True

    @property
    def source(self) -> Stage:
        """The stage the weight reads."""
        return self.stages[0]

    @property
    def target(self) -> Stage:
        """The stage the weight writes."""
        return self.stages[1]


@dataclass(frozen=True)
class Attachment(Wired):
    """A parameter on one population: a bias (one entry a neuron), a table (``_`` axes), or a norm's gain.

    ``flatten`` gives [copies, neurons]. ``charged`` is False for what pays no connection cost.
    """

    charged: bool = True

    @property
    def stage(self) -> Stage:
        """The stage it hangs on."""
        return self.stages[0]

    @property
    def is_bias(self) -> bool:
        """One entry a neuron, or one for each of the heads folded onto it: charged with the biases of its layer.

        A dimension that is all ``_`` makes a table instead.
        """
        return not any(word.startswith(COPY) for word in re.sub(r"\(.*?\)", "", self.spelled).split())
