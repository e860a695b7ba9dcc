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

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor, nn

from bimt_tf.core.from_table import TableOptions, read_table, refuse_unnamed
from bimt_tf.core.population import Attachment, Connection, Population, Stage
from bimt_tf.errors import InputError, names_of, require_kind, require_text, unknown

__all__ = ["Wiring"]


@dataclass(frozen=True, repr=False)
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
        """Population -> what of it :func:`bimt_tf.core.bake.bake_` leaves in the layout, as no symmetry moves it."""
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
    def total_weights(self) -> int:
        """Entries of all connections; biases, norms and tables are not counted."""
        return sum(connection.numel for connection in self.connections)

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
        refuse_unnamed({n: tuple(p.shape) for n, p in parameters.items()}, {*shapes, *self.left_out})

    def fixing(self, fixed: Iterable[str]) -> Wiring:
        """The same wiring with the named populations held in their slots.

        Raises:
            InputError: for a name that is no population's.
        """
        fixed = set(names_of("fixed", fixed))
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
        names = set(names_of("distance_free", names))
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
            InputError: for an argument of another type, a pattern that does not fit its shape, a parameter without a
                pattern, more than two populations in one parameter, or a population (or head group) joined to itself.
        """
        require_text("table", table)
        require_kind("parameters", parameters, (nn.Module, Mapping))
        require_kind("rows", rows, Sequence)
        named = dict(parameters.named_parameters()) if isinstance(parameters, nn.Module) else parameters
        for name, tensor in named.items():
            require_kind(f"parameter {name!r}", tensor, Tensor)
        shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
        options = TableOptions(
            heads={} if heads is None else heads,
            layers={} if layers is None else layers,
            rows=[names_of("rows", row) for row in rows],
            sizes={} if sizes is None else sizes,
            fixed=names_of("fixed", fixed),
            unbakeable=names_of("unbakeable", unbakeable),
            pinned={} if pinned is None else pinned,
            anchored=names_of("anchored", anchored),
            uncharged=names_of("uncharged", uncharged),
            left_out=names_of("left_out", left_out),
        )
        return cls(*read_table(table, shapes, options), options.left_out)

    def __repr__(self) -> str:
        left_out = f", left_out={len(self.left_out)}" if self.left_out else ""
        return (
            f"Wiring(populations={len(self.populations)}, connections={len(self.connections)}, "
            f"attachments={len(self.attachments)}{left_out})"
        )

    def _repr_html_(self) -> str:
        """A table of the populations, for notebooks."""
        rows = "".join(_html_row(population, self) for population in self.populations.values())
        titles = ("population", "neurons", "heads", "stages", "swaps move it", "bake_ leaves in the layout")
        head = "".join(f"<th>{title}</th>" for title in titles)
        return f"<table><caption>{html.escape(repr(self))}</caption><tr>{head}</tr>{rows}</table>"


def _html_row(population: Population, wiring: Wiring) -> str:
    stages = ", ".join(stage.name for stage in wiring.stages if stage.population == population.name)
    moves = "yes" if population.movable else "no"
    cells = (population.name, population.size, population.heads, stages, moves, wiring.unbaked.get(population.name, ""))
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>"
