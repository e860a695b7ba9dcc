"""Wiring: which neurons a model has, and which weight joins which of them, as data.

Every parameter is described by an einops-like axis string, one word a dimension (paper, Section 2.3:
"every matrix that does matrix-vector products counts as a linear layer"):

    "blocks.0.attn.W_Q": "head0 residual@Res0 qk0@Q0"    three dimensions; head0 is qk0's head axis
    "blocks.0.attn.o.weight": "residual (head0 ov0)"     a folded dimension, head-major
    "tok_embed.weight": "_ residual"                     an axis without coordinates
    "layers.0.weight": "hidden0 (_ embed)"               two tokens folded onto one population
    "blocks.0.attn.q.weight": "(head0 _ qk0) residual"   query heads folded onto the key head that they share
    "ln.w": "residual"                                   a vector that hangs on one population

A word is the name of a population's axis, of a head axis, or ``_``; ``@Stage`` says at which depth of the
network the population takes part (the residual stream is one population and many stages).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import einops
from torch import Tensor, nn

from bimt_tf.errors import InputError, unknown

__all__ = ["Population", "Stage", "Connection", "Attachment", "Wiring", "ANY"]

ANY = "_"
"""The axis that has no coordinates: a vocabulary, positions, tokens folded onto one population."""

_COPY = "z"  # einops letters of the '_' axes
_WORD = re.compile(r"[A-Za-z_][\w.]*(@[\w.]+)?")


@dataclass(frozen=True)
class Population:
    """A named set of neurons that share one order.

    ``size`` neurons in ``heads`` contiguous segments of equal length; neuron ``head * head_size + e`` is
    neuron ``e`` of its head. Populations with the same ``head_axis`` exchange whole heads together.
    ``movable``: its neurons may change slots. ``bakeable``: reordering it physically is a symmetry of the model;
    in part where the first ``pinned`` neurons of each head must keep their place inside it (rotary positions), or
    where the heads are ``anchored``, each to its number (ALiBi).
    """

    name: str
    size: int
    heads: int = 1
    head_axis: str | None = None
    movable: bool = True
    bakeable: bool = True
    pinned: int = 0
    anchored: bool = False

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
class _Wired:
    """A parameter and the populations its axes spell: ``spelled`` and ``flat`` are einops patterns."""

    parameter: str
    shape: tuple[int, ...]
    layer: str
    stages: tuple[Stage, ...]
    spelled: str
    flat: str
    lengths: tuple[tuple[str, int], ...] = field(repr=False)

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
class Connection(_Wired):
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
class Attachment(_Wired):
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
        return not any(word.startswith(_COPY) for word in re.sub(r"\(.*?\)", "", self.spelled).split())


def _parse(parameter: str, text: str) -> list[list[str]]:
    """Split "a (b c)" into [["a"], ["b", "c"]]; the errors repeat the pattern."""
    dims: list[list[str]] = []
    inside = False
    for token in re.findall(r"[()]|[^\s()]+", text):
        if token == "(" and not inside:
            inside = True
            dims.append([])
        elif token == ")" and inside and dims[-1]:
            inside = False
        elif token in "()":
            raise InputError(f"{parameter}: parentheses of the pattern {text!r} do not match")
        elif not _WORD.fullmatch(token) or token.startswith(f"{ANY}@"):
            raise InputError(f"{parameter}: {token!r} in the pattern {text!r} is not an axis name")
        elif inside:
            dims[-1].append(token)
        else:
            dims.append([token])
    if inside or not dims:
        raise InputError(f"{parameter}: the pattern {text!r} is empty or not closed")
    return dims


def _axis(word: str) -> str:
    return word.split("@")[0]


def _axis_sizes(
    patterns: Mapping[str, list[list[str]]], shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, int]
) -> dict[str, int]:
    """Solve for every axis length from the shapes; folded dimensions once one unknown is left."""
    spelled_axes = list(dict.fromkeys(_axis(w) for dims in patterns.values() for ws in dims for w in ws if w != ANY))
    for axis, size in given.items():
        if axis not in spelled_axes:
            raise unknown("axis in sizes", axis, spelled_axes)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"sizes[{axis!r}] must be a whole number of at least 1, found {size!r}")
    sizes = dict(given)
    origin = {axis: "sizes" for axis in sizes}
    progress = True
    while progress:
        progress = False
        for parameter, dims in patterns.items():
            for length, words in zip(shapes[parameter], dims, strict=True):
                unknowns = [word for word in words if word == ANY or _axis(word) not in sizes]
                known = prod(sizes[_axis(word)] for word in words if word not in unknowns)
                if length % known or (not unknowns and length != known):
                    spelled = " ".join(words)
                    found = ", ".join(
                        f"{_axis(w)}={sizes[_axis(w)]} from {origin[_axis(w)]}" for w in words if w not in unknowns
                    )
                    raise InputError(
                        f"{parameter} has shape {list(shapes[parameter])}, but its axis '{spelled}' of length "
                        f"{length} does not agree with {found}"
                    )
                if len(unknowns) == 1 and unknowns[0] != ANY:
                    sizes[_axis(unknowns[0])] = length // known
                    origin[_axis(unknowns[0])] = parameter
                    progress = True
    for parameter, dims in patterns.items():
        for words in dims:
            for word in words:
                if word != ANY and _axis(word) not in sizes:
                    raise InputError(
                        f"{parameter}: the length of axis {_axis(word)!r} in '({' '.join(words)})' cannot be told from "
                        f"the shapes; give it as sizes={{{_axis(word)!r}: ...}}"
                    )
    return sizes


@dataclass(frozen=True)
class Wiring:
    """All populations and connections of a model, as data; it holds no weight.

    Made by :func:`bimt_tf.wire` for known models and by :meth:`from_table` for any other.
    """

    populations: Mapping[str, Population]
    stages: tuple[Stage, ...]
    connections: tuple[Connection, ...]
    attachments: tuple[Attachment, ...]
    left_out: tuple[str, ...] = ()

    @cached_property
    def groups(self) -> Mapping[str, tuple[Population, ...]]:
        """Populations that share a head axis, under its name; every other population alone."""
        groups: dict[str, tuple[Population, ...]] = {}
        for population in self.populations.values():
            groups[population.group] = (*groups.get(population.group, ()), population)
        return groups

    @property
    def unbaked(self) -> dict[str, str]:
        """Population -> what of it :func:`bimt_tf.layout.bake_` leaves in the layout, as no symmetry moves it."""
        found = {}
        for group in self.groups.values():
            whole = [p.name for p in group if not p.bakeable]
            for p in group:
                parts = []
                if whole:
                    parts.append("its order" if p.name in whole else f"its order (heads are shared with {whole[0]})")
                else:
                    if p.pinned:
                        some = "" if p.pinned == p.head_size else f"the first {p.pinned} of "
                        parts.append(f"the places of {some}each head's neurons inside it")
                    if p.anchored:
                        parts.append("the order of the heads")
                if parts:
                    found[p.name] = " and ".join(parts)
        return found

    @property
    def wired(self) -> Iterator[Connection | Attachment]:
        """Connections, then attachments."""
        yield from self.connections
        yield from self.attachments

    def check(self, parameters: Mapping[str, Tensor]) -> None:
        """Raise InputError unless ``parameters`` (name -> tensor) are exactly what this wiring names."""
        shapes = {wired.parameter: wired.shape for wired in self.wired}
        for name, shape in shapes.items():
            if name not in parameters:
                raise unknown("parameter of the wiring (the model has none of this name)", name, parameters)
            if tuple(parameters[name].shape) != shape:
                raise InputError(
                    f"parameter {name!r} has shape {list(parameters[name].shape)} in the model and "
                    f"{list(shape)} in the wiring: the wiring was made for another model"
                )
        _refuse_unnamed({n: tuple(p.shape) for n, p in parameters.items()}, {*shapes, *self.left_out})

    def fixing(self, fixed: Iterable[str]) -> Wiring:
        """The same wiring with the named populations held in their slots."""
        fixed = set(fixed)
        for name in fixed:
            if name not in self.populations:
                raise unknown("population to fix", name, self.populations)
        populations = {
            name: replace(population, movable=population.movable and name not in fixed)
            for name, population in self.populations.items()
        }
        return replace(self, populations=populations)

    def unlocal(self, names: Iterable[str]) -> Wiring:
        """The same wiring with some connections paying by size only: :attr:`Connection.local` is False for them.

        Args:
            names: parameters (``"layers.2.weight"``), or populations (``"output"``) for all that lead to or from them.

        Raises:
            InputError: for a name that is neither.
        """
        ends = {c.parameter: {c.parameter, *(stage.population for stage in c.stages)} for c in self.connections}
        names = set(names)
        for name in sorted(names):
            if name not in ends and name not in self.populations:
                raise unknown("connection or population in unlocal", name, (*ends, *self.populations))
        connections = tuple(replace(c, local=c.local and not names & ends[c.parameter]) for c in self.connections)
        return replace(self, connections=connections)

    @classmethod
    def from_table(
        cls,
        table: Mapping[str, str],
        parameters: nn.Module | Mapping[str, Tensor],
        *,
        heads: Mapping[str, str] | None = None,
        layers: Mapping[str, str] | None = None,
        rows: Sequence[Sequence[str]] = (),
        sizes: Mapping[str, int] | None = None,
        fixed: Iterable[str] = (),
        unbakeable: Iterable[str] = (),
        pinned: Mapping[str, int] | None = None,
        anchored: Iterable[str] = (),
        uncharged: Iterable[str] = (),
        left_out: Iterable[str] = (),
    ) -> Wiring:
        """Wire any model from a table of axis strings (module docstring), one a parameter.

        Args:
            table: parameter name -> axis string.
            parameters: the model, or its named tensors. Each is named by the table or by ``left_out``.
            heads: population -> its head axis, e.g. ``{"qk0": "head0", "ov0": "head0"}``.
            layers: parameter -> the linear layer it belongs to; by default each parameter is its own.
            rows: stage names by depth, shallowest first; several in one row stand side by side. By default the
                stages stand in the order in which the table names them.
            sizes: axis lengths that the shapes do not tell.
            fixed: populations whose neurons keep their slots.
            unbakeable: populations whose physical order is not a symmetry (inputs, outputs).
            pinned: population -> how many neurons at the start of each head have no such symmetry inside their head,
                while the head as a whole has (rotary positions).
            anchored: head axes whose heads cannot be exchanged physically (ALiBi slopes).
            uncharged: parameters that pay no connection cost (norm gains).
            left_out: parameters that are not wired at all.

        Raises:
            InputError: for a pattern that does not fit its shape, a parameter without a pattern, more than two
                populations in one parameter, or a population (or head group) joined to itself.
        """
        named = dict(parameters.named_parameters()) if isinstance(parameters, nn.Module) else dict(parameters)
        shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
        head_of = dict(heads or {})
        left_out, uncharged = tuple(left_out), tuple(uncharged)
        for name in (*table, *left_out):
            if name not in shapes:
                raise unknown("parameter in the table", name, shapes)
        _refuse_unnamed(shapes, {*table, *left_out})
        for parameter in (*(layers or {}), *uncharged):
            if parameter not in table:
                raise unknown("parameter (not in the table)", parameter, table)
        patterns = {parameter: _parse(parameter, text) for parameter, text in table.items()}
        for parameter, dims in patterns.items():
            if len(dims) != len(shapes[parameter]):
                raise InputError(
                    f"{parameter} has {len(shapes[parameter])} dimensions {list(shapes[parameter])}, its pattern "
                    f"{table[parameter]!r} has {len(dims)}"
                )
        axis_sizes = _axis_sizes(patterns, shapes, sizes or {})
        named_axes = [w for dims in patterns.values() for words in dims for w in words if w != ANY]
        head_axes = set(head_of.values())
        axes = list(dict.fromkeys(_axis(word) for word in named_axes if _axis(word) not in head_axes))
        fixed, unbakeable, pinned, anchored = set(fixed), set(unbakeable), dict(pinned or {}), set(anchored)
        for name in {*fixed, *unbakeable, *pinned, *head_of}:
            if name not in axes:
                raise unknown("population", name, axes)
        for name in anchored:
            if name not in head_axes:
                raise unknown("head axis in anchored", name, sorted(head_axes))
        populations = {}
        for axis in axes:
            head_axis = head_of.get(axis)
            if head_axis is not None and head_axis not in axis_sizes:
                raise unknown(f"head axis of population {axis!r}", head_axis, axis_sizes)
            n_heads = axis_sizes[head_axis] if head_axis else 1
            size = axis_sizes[axis]
            if not 0 <= pinned.get(axis, 0) <= size:
                raise InputError(f"pinned[{axis!r}] must be 0 to the head's size {size}, found {pinned[axis]}")
            populations[axis] = Population(
                axis,
                n_heads * size,
                n_heads,
                head_axis,
                movable=axis not in fixed,
                bakeable=axis not in unbakeable,
                pinned=pinned.get(axis, 0),
                anchored=head_axis in anchored,
            )
        stages = _stages(named_axes, head_axes, rows)
        connections: list[Connection] = []
        attachments: list[Attachment] = []
        for parameter, dims in patterns.items():
            layer = (layers or {}).get(parameter, parameter)
            ends = _ends(parameter, table[parameter], dims, stages, populations, head_axes)
            shape = shapes[parameter]
            spelling = _einops(parameter, table[parameter], dims, ends, populations, axis_sizes, shape)
            wired = (parameter, shape, layer, ends, *spelling)  # the fields of _Wired, in order
            if len(ends) == 2:
                if parameter in uncharged:
                    raise InputError(
                        f"{parameter} ({table[parameter]!r}) joins two populations and cannot be uncharged; only what "
                        "hangs on one population can"
                    )
                connections.append(Connection(*wired))
            else:
                attachments.append(Attachment(*wired, charged=parameter not in uncharged))
        return cls(populations, tuple(stages.values()), tuple(connections), tuple(attachments), left_out)


def _refuse_unnamed(shapes: Mapping[str, tuple[int, ...]], named: set[str]) -> None:
    missing = [name for name in shapes if name not in named]
    if missing:
        rows = ", ".join(f"{name!r}: '{' '.join('?' * len(shapes[name]))}'" for name in missing)
        raise InputError(
            f"the wiring does not name {len(missing)} parameter(s) of the model; name their axes or list them as "
            f"left out: {{{rows}}}"
        )


def _stages(words: list[str], head_axes: set[str], rows: Sequence[Sequence[str]]) -> dict[str, Stage]:
    """Stage name -> Stage, in drawing order; a word without '@' is a stage of its population's own name."""
    population_of: dict[str, str] = {}
    for word in words:
        stage, population = word.split("@")[-1], _axis(word)
        if population not in head_axes and population_of.setdefault(stage, population) != population:
            raise InputError(
                f"stage {stage!r} is named for two populations, {population_of[stage]!r} and {population!r}"
            )
    rows = rows or [[stage] for stage in population_of]
    stages = {}
    for depth, row in enumerate(rows):
        for column, name in enumerate(row):
            if name not in population_of:
                raise unknown("stage in rows", name, population_of)
            if name in stages:
                raise InputError(f"stage {name!r} stands twice in rows")
            stages[name] = Stage(name, population_of[name], depth, column)
    for name in population_of:
        if name not in stages:
            raise InputError(f"stage {name!r} is named by the table and missing in rows")
    return stages


def _ends(
    parameter: str,
    text: str,
    dims: list[list[str]],
    stages: Mapping[str, Stage],
    populations: Mapping[str, Population],
    head_axes: set[str],
) -> tuple[Stage, ...]:
    """The stages a parameter joins, shallowest first; checks heads and the count of populations."""
    words = [word for group in dims for word in group if word != ANY]
    ends = [stages[word.split("@")[-1]] for word in words if _axis(word) not in head_axes]
    if len(ends) not in (1, 2):
        raise InputError(f"{parameter} ({text!r}) joins {len(ends)} populations; a parameter joins one or two")
    if len({populations[end.population].group for end in ends}) < len(ends):
        raise InputError(
            f"{parameter} ({text!r}) joins a population to itself: placing it would be a quadratic assignment, "
            "which BIMT does not do; use '_' for one of the axes"
        )
    wanted = sorted(p.head_axis for p in (populations[end.population] for end in ends) if p.head_axis)
    found = sorted(_axis(word) for word in words if _axis(word) in head_axes)
    if wanted != found:
        raise InputError(f"{parameter} ({text!r}) needs the head axes {wanted} once each, found {found}")
    return tuple(sorted(ends, key=lambda stage: stage.depth))


def _einops(
    parameter: str,
    text: str,
    dims: list[list[str]],
    ends: tuple[Stage, ...],
    populations: Mapping[str, Population],
    axis_sizes: Mapping[str, int],
    shape: tuple[int, ...],
) -> tuple[str, str, tuple[tuple[str, int], ...]]:
    """``spelled``, ``flat`` and ``lengths`` of a parameter (:class:`_Wired`), with short letters."""
    letters: dict[str, str] = {}
    lengths: dict[str, int] = {}
    spelled: list[str] = []
    copies: list[str] = []
    for length, words in zip(shape, dims, strict=True):
        names = []
        for word in words:
            if word == ANY:
                known = prod(axis_sizes[_axis(w)] for w in words if w != ANY)
                if words.count(ANY) > 1:
                    raise InputError(f"{parameter}: write one '_' in a folded dimension, found {text!r}")
                letter = f"{_COPY}{len(copies)}"
                lengths[letter] = length // known
                copies.append(letter)
            else:
                letter = letters.setdefault(_axis(word), f"a{len(letters)}")
                lengths[letter] = axis_sizes[_axis(word)]
            names.append(letter)
        spelled.append(names[0] if len(names) == 1 else f"({' '.join(names)})")
    flat = [f"({' '.join(copies)})" if copies else "1"]
    for end in ends:
        population = populations[end.population]
        letter = letters[population.name]
        flat.append(f"({letters[population.head_axis]} {letter})" if population.head_axis else letter)
    return " ".join(spelled), " ".join(flat), tuple(lengths.items())
