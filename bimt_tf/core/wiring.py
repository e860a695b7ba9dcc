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
from torch.nn.modules.batchnorm import _BatchNorm

from bimt_tf.core.from_table import TableOptions, read_table, refuse_unnamed
from bimt_tf.core.model_tree import held, paths
from bimt_tf.core.population import Attachment, Connection, Population, Stage, Wired
from bimt_tf.errors import InputError, names_of, require_kind, require_text, unknown

__all__ = ["Wiring"]


@dataclass(frozen=True, repr=False)
class Wiring:
    """All populations and connections of a model, as data; it holds no weight.

    Made by :func:`bimt_tf.wire` for known models and by :meth:`from_table` for any other. ``carried`` are buffers and
    second names of a shared weight: they move with the neurons and pay nothing. ``order_free`` are the tensors and
    modules that depend on no population's order, by a name or the beginning of names.
    """

    populations: Mapping[str, Population]
    stages: tuple[Stage, ...]
    connections: tuple[Connection, ...]
    attachments: tuple[Attachment, ...]
    left_out: tuple[str, ...] = ()
    carried: tuple[Wired, ...] = ()
    order_free: tuple[str, ...] = ()

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
                    why = p.why if p.name in whole else f"heads are shared with {whole[0]}"
                    parts.append(f"its order ({why})" if why else "its order")
                else:
                    if p.pinned:
                        some = "" if p.pinned == p.head_size else f"the first {p.pinned} of "
                        parts.append(f"the places of {some}each head's neurons inside it")
                    if p.anchored:
                        parts.append(f"the order of the heads ({p.why})" if p.why else "the order of the heads")
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

    @property
    def moving(self) -> Iterator[Wired]:
        """All that moves with the neurons: connections, attachments, and what is carried."""
        yield from self.wired
        yield from self.carried

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
        named = {*shapes, *self.left_out, *(one.parameter for one in self.carried)}
        refuse_unnamed({n: tuple(p.shape) for n, p in parameters.items()}, named)

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

    def holding(self, held: Iterable[str], why: str = "") -> Wiring:
        """The same wiring with the order of the named populations left in the layout by ``bake_``; swaps move them.

        Args:
            held: populations whose physical order something relies on that the wiring does not know.
            why: what that is, for :attr:`unbaked`.

        Raises:
            InputError: for a name that is no population's.
        """
        names = names_of("held", held)
        for name in names:
            if name not in self.populations:
                raise unknown("population to hold", name, self.populations)
        found = {
            name: replace(p, bakeable=False, why=p.why or why) if name in names and p.bakeable else p
            for name, p in self.populations.items()
        }
        return replace(self, populations=found)

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
        carried: Iterable[str] = (),
        order_free: Iterable[str] = (),
    ) -> Wiring:
        """Wire any model from a table of axis strings (:mod:`bimt_tf.core.wiring`), one a parameter.

        Args:
            table: parameter -> axis string; also of a model's buffers and second names of a parameter (carried).
            parameters: the model, or its named tensors, each named by the table or ``left_out``.
            heads: population -> its head axis, e.g. ``{"qk0": "head0", "ov0": "head0"}``.
            layers: parameter -> the linear layer it belongs to; by default each is its own.
            rows: stage names by depth, shallowest first; several in one row stand side by side. By default the
                stages stand in the order in which the table names them.
            sizes: axis lengths that the shapes do not tell.
            fixed: populations whose neurons keep their slots.
            unbakeable: populations whose physical order is not a symmetry (inputs, outputs).
            pinned: population -> how many neurons at the start of each head have no such symmetry inside their head,
                while the head as a whole has (rotary positions).
            anchored: head axes whose heads cannot be exchanged physically (ALiBi slopes).
            uncharged: parameters that pay no connection cost (norm gains).
            left_out: parameters that are not wired; ``bake_`` holds what they may stand on (core/review.py).
            carried: tensors of the table that move with the neurons and are charged nothing; of a model they are found.
            order_free: left-out parameters, buffers and modules, by name or path, that rely on no order of neurons.

        Raises:
            InputError: for an argument of another type, a pattern that does not fit its shape, a parameter without a
                pattern, more than two populations in one parameter, or a population (or head group) joined to itself.
        """
        require_text("table", table)
        require_kind("parameters", parameters, (nn.Module, Mapping))
        require_kind("rows", rows, Sequence)
        named, more = _named(parameters, table, names_of("carried", carried))
        for name, tensor in named.items():
            require_kind(f"parameter {name!r}", tensor, Tensor)
        shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
        maps = {"heads": heads, "layers": layers, "sizes": sizes, "pinned": pinned}
        names = {"fixed": fixed, "unbakeable": unbakeable, "anchored": anchored, "uncharged": uncharged}
        options = TableOptions(
            rows=[names_of("rows", row) for row in rows],
            left_out=names_of("left_out", left_out),
            carried=tuple(more),
            **{name: value for name, value in maps.items() if value is not None},  # type: ignore[arg-type]
            **{name: names_of(name, value) for name, value in names.items()},  # type: ignore[arg-type]
        )
        parts = read_table({**table, **more}, shapes, options)._asdict()
        return cls(**parts, left_out=options.left_out, order_free=names_of("order_free", order_free))

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


def _named(
    parameters: nn.Module | Mapping[str, Tensor], table: Mapping[str, str], carried: tuple[str, ...]
) -> tuple[Mapping[str, Tensor], dict[str, str]]:
    """The tensors that a table is about, and the axes of those that are only carried along.

    The statistics of a batch norm stand where its gain does, so a table need not name them.
    """
    if not isinstance(parameters, nn.Module):
        return parameters, {name: table[name] for name in carried if name in table}
    own = dict(parameters.named_parameters())
    tree = {one.name: one for one in held(paths(parameters))}
    more = {name: table[name] for name in table if name in tree and name not in own}
    for name, one in tree.items():
        gain = f"{name.removesuffix(one.own)}weight"
        if isinstance(one.module, _BatchNorm) and one.own.startswith("running_") and gain in table:
            more.setdefault(name, table[gain])
    return own | {name: tree[name].tensor for name in more}, more


def _html_row(population: Population, wiring: Wiring) -> str:
    stages = ", ".join(stage.name for stage in wiring.stages if stage.population == population.name)
    moves = "yes" if population.movable else "no"
    cells = (population.name, population.size, population.heads, stages, moves, wiring.unbaked.get(population.name, ""))
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>"
