"""From a table of axis strings to a wiring (core/wiring.py), in passes; each takes what those before it found.

tokenise    axis strings -> the words of each dimension
size        words and shapes -> the length of every axis
name        axes that are no heads -> populations; words -> the stages at which they take part
join        words -> the stages that each parameter joins, shallowest first
check       each parameter joins one population or two different ones, its head axes with them
build       -> connections (two ends) and attachments (one end); what is only carried along is set apart
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bimt_tf.core.axes import Pattern, axis_of, einops_patterns, parse, solve_sizes, stage_of
from bimt_tf.core.population import Attachment, Connection, Population, Stage, Wired
from bimt_tf.errors import InputError, require_kind, require_text, require_whole, unknown

__all__ = ["Parts", "TableOptions", "question_marks", "read_table", "refuse_unnamed"]


@dataclass(frozen=True)
class TableOptions:
    """What is said beside a table; :meth:`bimt_tf.core.wiring.Wiring.from_table` explains each.

    Raises:
        InputError: for a field that holds something else than its type says.
    """

    heads: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Sequence[str]] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    unbakeable: tuple[str, ...] = ()
    pinned: Mapping[str, int] = field(default_factory=dict)
    anchored: tuple[str, ...] = ()
    uncharged: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("heads", "layers"):
            require_text(name, getattr(self, name))
        for name, least in (("sizes", 1), ("pinned", 0)):
            numbers = getattr(self, name)
            require_kind(name, numbers, Mapping)
            for key, number in numbers.items():
                require_whole(f"{name}[{key!r}]", number, least)

    @property
    def head_axes(self) -> set[str]:
        """The axes that count heads."""
        return set(self.heads.values())


class Parts(NamedTuple):
    """What a wiring consists of, in the order of its fields."""

    populations: Mapping[str, Population]
    stages: tuple[Stage, ...]
    connections: tuple[Connection, ...]
    attachments: tuple[Attachment, ...]
    carried: tuple[Wired, ...]


def read_table(table: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], options: TableOptions) -> Parts:
    """All passes.

    Args:
        table: parameter -> axis string.
        shapes: parameter -> its shape, of every parameter of the model.
        options: what the strings do not say.

    Raises:
        InputError: where the table, the shapes and the options do not agree.
    """
    check_parameters(table, shapes, options)
    patterns = tokenise(table, shapes)
    sizes = solve_sizes(patterns, options.sizes)
    populations = name_populations(patterns, sizes, options)
    stages = name_stages(patterns, options)
    ends = join(patterns, stages, options)
    check(patterns, ends, populations, options)
    made = build(patterns, ends, populations, sizes, options)
    charged = [w for w in made if w.parameter not in options.carried]
    connections = tuple(w for w in charged if isinstance(w, Connection))
    attachments = tuple(w for w in charged if isinstance(w, Attachment))
    carried = tuple(w for w in made if w.parameter in options.carried or not w.stages)
    return Parts(populations, tuple(stages.values()), connections, attachments, carried)


def check_parameters(table: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], options: TableOptions) -> None:
    """Raise InputError unless the table and the options name the model's parameters, every one."""
    for name in (*table, *options.left_out):
        if name not in shapes:
            raise unknown("parameter in the table", name, shapes)
    refuse_unnamed(shapes, {*table, *options.left_out, *options.carried})
    for name in (*options.layers, *options.uncharged):
        if name not in table:
            raise unknown("parameter (not in the table)", name, table)


def refuse_unnamed(shapes: Mapping[str, tuple[int, ...]], named: set[str]) -> None:
    """Raise InputError if there is a parameter that is not named; the message holds lines to add to the table."""
    missing = [name for name in shapes if name not in named]
    if missing:
        raise InputError(
            f"the wiring does not name {len(missing)} parameter(s) of the model; name their axes or list them as "
            f"left out: {question_marks({name: shapes[name] for name in missing})}"
        )


def question_marks(shapes: Mapping[str, tuple[int, ...]], room: int = 300) -> str:
    """``{'w': '? ?', ...}``: the lines of a table that wait for words, as many as ``room`` allows, and a count."""
    rows: list[str] = []
    for name, shape in shapes.items():
        rows.append(f"{name!r}: '{' '.join('?' * len(shape))}'")
        if sum(map(len, rows)) > room and len(shapes) > len(rows) > 0:
            return f"{{{', '.join(rows)}, ...}} and {len(shapes) - len(rows)} more"
    return f"{{{', '.join(rows)}}}"


def tokenise(table: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> list[Pattern]:
    """The axis strings as words, one pattern a parameter, in the table's order.

    Raises:
        InputError: for a string that cannot be read, or that has more or fewer dimensions than its parameter.
    """
    patterns = [Pattern(name, text, shapes[name], parse(name, text)) for name, text in table.items()]
    for parameter, text, shape, dims in patterns:
        if len(dims) != len(shape):
            raise InputError(
                f"{parameter} has {len(shape)} dimensions {list(shape)}, its pattern {text!r} has {len(dims)}"
            )
    return patterns


def name_populations(
    patterns: Sequence[Pattern], sizes: Mapping[str, int], options: TableOptions
) -> dict[str, Population]:
    """Every axis that counts no heads is a population; in the order in which the table names them.

    Raises:
        InputError: for an option that names no population or head axis, or pins more neurons than a head has.
    """
    named = dict.fromkeys(axis_of(word) for pattern in patterns for word in pattern.words)
    axes = [axis for axis in named if axis not in options.head_axes]
    for name in (*options.fixed, *options.unbakeable, *options.pinned, *options.heads):
        if name not in axes:
            raise unknown("population", name, axes)
    for name in options.anchored:
        if name not in options.head_axes:
            raise unknown("head axis in anchored", name, sorted(options.head_axes))
    return {axis: _population(axis, sizes, options) for axis in axes}


def _population(axis: str, sizes: Mapping[str, int], options: TableOptions) -> Population:
    head_axis, pinned, size = options.heads.get(axis), options.pinned.get(axis, 0), sizes[axis]
    if head_axis is not None and head_axis not in sizes:
        raise unknown(f"head axis of population {axis!r}", head_axis, sizes)
    if not 0 <= pinned <= size:
        raise InputError(f"pinned[{axis!r}] must be 0 to the head's size {size}, found {pinned}")
    heads = 1 if head_axis is None else sizes[head_axis]
    return Population(
        axis,
        heads * size,
        heads,
        head_axis,
        movable=axis not in options.fixed,
        bakeable=axis not in options.unbakeable,
        pinned=pinned,
        anchored=head_axis in options.anchored,
    )


def name_stages(patterns: Sequence[Pattern], options: TableOptions) -> dict[str, Stage]:
    """Stage name -> Stage, shallowest first; a word without '@' is a stage of its population's own name.

    Raises:
        InputError: for a stage of two populations, or rows that do not hold every stage of the table once.
    """
    population_of: dict[str, str] = {}
    for word in (word for pattern in patterns for word in pattern.words):
        stage, population = stage_of(word), axis_of(word)
        if population not in options.head_axes and population_of.setdefault(stage, population) != population:
            raise InputError(
                f"stage {stage!r} is named for two populations, {population_of[stage]!r} and {population!r}"
            )
    stages = {}
    for depth, row in enumerate(options.rows or [[stage] for stage in population_of]):
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


def join(patterns: Sequence[Pattern], stages: Mapping[str, Stage], options: TableOptions) -> list[tuple[Stage, ...]]:
    """The stages that each parameter joins, shallowest first."""
    ends = ([stages[stage_of(w)] for w in pattern.words if axis_of(w) not in options.head_axes] for pattern in patterns)
    return [tuple(sorted(found, key=lambda stage: stage.depth)) for found in ends]


def check(
    patterns: Sequence[Pattern],
    ends: Sequence[tuple[Stage, ...]],
    populations: Mapping[str, Population],
    options: TableOptions,
) -> None:
    """Raise InputError for a parameter that does not join one population, or two that can be placed apart.

    A dimension of its own may count the heads of a population that has no other part in the parameter, which then joins
    one other population or none.
    """
    for pattern, stages in zip(patterns, ends, strict=True):
        whose = f"{pattern.parameter} ({pattern.text!r})"
        counted = [axis for _, axis in _counted(pattern, stages, populations, options)]
        if len(stages) not in ((0, 1, 2) if counted else (1, 2)):
            raise InputError(f"{whose} joins {len(stages)} populations; a parameter joins one or two")
        joined = [populations[stage.population] for stage in stages]
        if len({p.group for p in joined}) < len(joined):
            raise InputError(
                f"{whose} joins a population to itself: placing it would be a quadratic assignment, which BIMT does "
                "not do; use '_' for one of the axes"
            )
        wanted = sorted([*(p.head_axis for p in joined if p.head_axis), *counted])
        found = sorted(axis_of(word) for word in pattern.words if axis_of(word) in options.head_axes)
        if wanted != found:
            raise InputError(f"{whose} needs the head axes {wanted} once each, found {found}")
        if len(stages) == 2 and pattern.parameter in options.uncharged:
            raise InputError(
                f"{whose} joins two populations and cannot be uncharged; only what hangs on one population can"
            )


def build(
    patterns: Sequence[Pattern],
    ends: Sequence[tuple[Stage, ...]],
    populations: Mapping[str, Population],
    sizes: Mapping[str, int],
    options: TableOptions,
) -> list[Wired]:
    """A connection for every parameter with two ends, an attachment for every one with one; in the table's order.

    One without ends counts heads alone: it is only carried along.
    """
    made: list[Wired] = []
    first = {p.head_axis: p for p in reversed(list(populations.values())) if p.head_axis}
    for pattern, stages in zip(patterns, ends, strict=True):
        axes = [(populations[stage.population].head_axis, stage.population) for stage in stages]
        layer = options.layers.get(pattern.parameter, pattern.parameter)
        wired = (pattern.parameter, pattern.shape, layer, stages, *einops_patterns(pattern, axes, sizes))
        heads = _counted(pattern, stages, populations, options)
        counted = tuple((dim, first[axis].name, sizes[axis]) for dim, axis in heads)
        if len(stages) == 2:
            made.append(Connection(*wired))
        elif stages:
            made.append(Attachment(*wired, counted, charged=pattern.parameter not in options.uncharged))
        else:
            made.append(Wired(*wired, counted))
    return made


def _counted(
    pattern: Pattern, stages: Sequence[Stage], populations: Mapping[str, Population], options: TableOptions
) -> list[tuple[int, str]]:
    """(dimension, head axis) of the dimensions that count heads of which the parameter holds no neurons."""
    if len(stages) > 1:
        return []
    own = {populations[stage.population].head_axis for stage in stages}
    alone = ((dim, axis_of(words[0])) for dim, words in enumerate(pattern.dims) if len(words) == 1)
    return [(dim, axis) for dim, axis in alone if axis in options.head_axes and axis not in own]
