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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor, nn

from bimt_tf.core.axes import ANY, axis_of, einops_patterns, find_ends, parse, place_stages, solve_sizes
from bimt_tf.core.population import Attachment, Connection, Population, Stage
from bimt_tf.errors import InputError, unknown

__all__ = ["Wiring"]


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
        """Population -> what of it :func:`bimt_tf.core.layout.bake_` leaves in the layout, as no symmetry moves it."""
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

    def distance_free(self, names: Iterable[str]) -> Wiring:
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
                raise unknown("connection or population in distance_free", name, (*ends, *self.populations))
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
        """Wire any model from a table of axis strings (:mod:`bimt_tf.core.wiring`), one a parameter.

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
        patterns = {parameter: parse(parameter, text) for parameter, text in table.items()}
        for parameter, dims in patterns.items():
            if len(dims) != len(shapes[parameter]):
                raise InputError(
                    f"{parameter} has {len(shapes[parameter])} dimensions {list(shapes[parameter])}, its pattern "
                    f"{table[parameter]!r} has {len(dims)}"
                )
        axis_sizes = solve_sizes(patterns, shapes, sizes or {})
        named_axes = [w for dims in patterns.values() for words in dims for w in words if w != ANY]
        head_axes = set(head_of.values())
        axes = list(dict.fromkeys(axis_of(word) for word in named_axes if axis_of(word) not in head_axes))
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
        stages = place_stages(named_axes, head_axes, rows)
        connections: list[Connection] = []
        attachments: list[Attachment] = []
        for parameter, dims in patterns.items():
            layer = (layers or {}).get(parameter, parameter)
            ends = find_ends(parameter, table[parameter], dims, stages, populations, head_axes)
            shape = shapes[parameter]
            spelling = einops_patterns(parameter, table[parameter], dims, ends, populations, axis_sizes, shape)
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
