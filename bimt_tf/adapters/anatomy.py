"""The populations and stages that all transformers share, whatever their parameters are called.

A block reads the residual stream through q, k, v and the MLP and writes to it; blocks follow each other by depth. With
grouped-query attention the query heads that share a key head are folded onto it: their q/k dimensions have one
order and one place, as any function-preserving exchange moves them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from bimt_tf.adapters.unknown_parts import what_is_missing
from bimt_tf.core.axes import ANY
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, unknown

__all__ = [
    "LATENT",
    "NOTHING",
    "NO_HEAD",
    "UNKNOWN",
    "Block",
    "Given",
    "Rotary",
    "Stack",
    "gain",
    "heads_of",
    "second_names",
    "stack",
    "wired",
]


class Block(NamedTuple):
    """The words of one block: the stages of the residual stream that it reads and writes, and its populations.

    ``head`` is its (key-value) head axis, ``queries`` the words of the query heads: ``head`` or ``head _``.
    """

    name: str
    before: str
    middle: str
    after: str
    q: str
    k: str
    v: str
    mlp: str
    head: str
    queries: str


class Stack(NamedTuple):
    """Blocks, the residual stream before and after them, and the rows of the drawing."""

    blocks: list[Block]
    first: str
    last: str
    rows: list[list[str]]


class Given(NamedTuple):
    """What the user says of a known model: axes of more parameters, and names that are left out or free of order."""

    axes: Mapping[str, str] = MappingProxyType({})
    left_out: tuple[str, ...] = ()
    order_free: tuple[str, ...] = ()


NOTHING = Given()

NO_HEAD = "the model has no head, its outputs are the residual stream"
"""Why the residual stream of a model without unembedding is held."""

UNKNOWN = "?"
"""In ``left_out``: all parameters that the family does not know."""


LATENT = (("q_latent", "kv_and_rotary", "kv_latent"), ("queries", "keys_and_values", "z"))
"""Populations of an attention that goes through latents (DeepSeek's), in two rows. Keys and values, latents and rotary
keys lie in one dimension of a matrix, so the orders of all of these stay as they are."""


class Rotary(NamedTuple):
    """How positions enter attention: the first ``pinned`` dimensions of a head rotate; ``anchored``: slopes by head."""

    pinned: int = 0
    anchored: bool = False


def stack(blocks: Sequence[tuple[str, bool, bool]], repeats: Sequence[int]) -> Stack:
    """The stages of blocks given as (name, has an MLP, MLP parallel to attention), shallowest first.

    ``repeats``: query heads that share a key head, by block.
    """
    rows = [["input", "words.in"], ["Res0"]]
    made = []
    depth = 0
    for (name, has_mlp, parallel), repeat in zip(blocks, repeats, strict=True):
        row = [f"{name}.{x}" for x in ("q", "k", "v", "qkv", *LATENT[0])]
        feed_forward = [f"{name}.{x}" for x in ("mlp", "experts", "shared")]
        if has_mlp and parallel:
            row += feed_forward
        rows += [row, [f"{name}.{x}" for x in LATENT[1]], [f"Res{depth + 1}"]]
        before, middle = depth, depth + 1
        depth += 1
        if has_mlp and not parallel:
            depth += 1
            rows += [feed_forward, [f"Res{depth}"]]
        head = f"{name}.head"
        made.append(
            Block(
                name,
                before=f"residual@Res{before}",
                middle=f"residual@Res{middle}",
                after=f"residual@Res{depth}",
                q=f"{name}.qk@{name}.q",
                k=f"{name}.qk@{name}.k",
                v=f"{name}.ov@{name}.v",
                mlp=f"{name}.mlp",
                head=head,
                queries=head if repeat == 1 else f"{head} {ANY}",
            )
        )
    rows.append(["output", "words.out", "prediction"])
    return Stack(made, "residual@Res0", f"residual@Res{depth}", rows)


def heads_of(block: str, n_heads: int, n_kv_heads: int) -> int:
    """Query heads that share a key head; InputError if they cannot be shared out evenly."""
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise InputError(
            f"{block} has {n_heads} query heads for {n_kv_heads} key heads: they cannot be shared out evenly"
        )
    return n_heads // n_kv_heads


def gain(shape: Sequence[int], width: int, heads: str, dims: str) -> str | None:
    """The axes of a gain of q or k (QK norm); None for one that all heads share, which is no population's.

    ``heads`` and ``dims`` are words of :class:`Block`, ``width`` all heads' dimensions together.
    """
    if len(shape) == 2:
        return f"({heads}) {dims}" if " " in heads else f"{heads} {dims}"
    return f"({heads} {dims})" if prod(shape) == width else None


def wired(
    table: Mapping[str, str],
    parameters: Mapping[str, Tensor],
    anatomy: Stack,
    layers: Mapping[str, str],
    *,
    positions: Mapping[str, Rotary],
    heads: Mapping[str, int],
    norms: Iterable[str],
    left_out: Iterable[str],
    unbakeable: Iterable[str] = (),
    order_free: Iterable[str] = (),
    given: Given = NOTHING,
    buffers: Mapping[str, Tensor] = MappingProxyType({}),
    exchangeable: Iterable[str] = (),
) -> Wiring:
    """The wiring from a table that may name more than the model has.

    Args:
        table: parameter -> axis string, for all that a model of this kind could have.
        parameters: those it has; one that is shared under each of its names.
        anatomy: of :func:`stack`.
        layers: parameter -> its linear layer.
        positions: block -> how positions enter its attention.
        heads: block -> key-value heads.
        norms: parameters that pay nothing.
        left_out: parameters without populations.
        unbakeable: populations without a symmetry.
        order_free, given: names of tensors known to rely on no order; what the user adds.
        buffers: those that move along, by name.
        exchangeable: blocks whose experts may change places; in others each keeps its number.

    Raises:
        InputError: for parameters in neither, and names of the user's that the model does not have.
    """
    for name in given.axes:
        if name not in parameters:
            raise unknown("parameter in axes", name, parameters)
    order_free = [name for name in order_free if name not in given.left_out]  # known of what is wired alone
    free = [*order_free, *(name for name in left_out if name in parameters)]
    table = {**table, **given.axes}
    out = {*left_out, *given.left_out}
    all_unknown = UNKNOWN in out
    left_out = [name for name in parameters if name in out or (all_unknown and name not in table)]
    tensors = {**buffers, **parameters}
    table, uncounted = _counting({n: axes for n, axes in table.items() if n in tensors and n not in left_out}, anatomy)
    left_out += [name for name in uncounted if name in parameters]
    tensors = {name: tensor for name, tensor in tensors.items() if name in table or name in parameters}
    options = _options(table, anatomy, positions, exchangeable)
    options |= {
        "sizes": {b.head: heads[b.name] for b in anatomy.blocks if b.head in _axes(table) and b.name in heads},
        "layers": {parameter: layer for parameter, layer in layers.items() if parameter in table},
        "unbakeable": sorted(_axes(table) & set(unbakeable)),
        "uncharged": [name for name in norms if name in table],
        "left_out": left_out,
        "carried": [*second_names(parameters), *(name for name in buffers if name in table)],
        "order_free": [*free, *uncounted, *given.order_free],
    }
    return _made(table, tensors, options)


def _options(
    table: Mapping[str, str], anatomy: Stack, positions: Mapping[str, Rotary], exchangeable: Iterable[str]
) -> dict[str, Any]:
    """What is said of stages and heads beside a table: of those that it names."""
    populations, stages = _axes(table), {word.split("@")[-1] for word in _words(table)}
    blocks = [b for b in anatomy.blocks if b.head in populations]
    experts = {f"{b.name}.experts": f"{b.name}.expert" for b in anatomy.blocks if f"{b.name}.experts" in populations}
    numbered = [axis for name, axis in experts.items() if name.rpartition(".")[0] not in set(exchangeable)]
    of_heads = {f"{b.name}.{x}": b.head for b in blocks for x in ("qk", "ov") if f"{b.name}.{x}" in populations}
    return {
        "rows": [kept for row in anatomy.rows if (kept := [stage for stage in row if stage in stages])],
        "heads": of_heads | experts,
        "pinned": {f"{b.name}.qk": positions[b.name].pinned for b in blocks if f"{b.name}.qk" in populations},
        "anchored": [*(b.head for b in blocks if positions[b.name].anchored), *numbered],
    }


def _axes(table: Mapping[str, str]) -> set[str]:
    """The axes that a table names."""
    return {word.split("@")[0] for word in _words(table)}


def _words(table: Mapping[str, str]) -> list[str]:
    """All words of a table, without the parentheses."""
    return [word for axes in table.values() for word in axes.replace("(", " ").replace(")", " ").split()]


def _counting(table: Mapping[str, str], anatomy: Stack) -> tuple[dict[str, str], list[str]]:
    """The table, and the names that only count experts whose weights were left out: these have nothing to move with."""
    alone = {f"{b.name}.expert" for b in anatomy.blocks if f"{b.name}.experts" not in _axes(table)}
    found, uncounted = {}, []
    for name, axes in table.items():
        words = [ANY if word in alone else word for word in axes.split()]
        if set(words) == {ANY} and axes != " ".join(words):
            uncounted.append(name)
        else:
            found[name] = " ".join(words)
    return found, uncounted


def _made(table: Mapping[str, str], parameters: Mapping[str, Tensor], options: Mapping[str, Any]) -> Wiring:
    """The wiring; a refusal says which part of the model to leave out."""
    if missing := [name for name in parameters if name not in table and name not in options["left_out"]]:
        raise InputError(_says(missing, parameters))
    try:
        return Wiring.from_table(table, dict(parameters), **options)
    except InputError as error:  # a part that is built otherwise than its names say, as a gate folded into mlp.in
        part = re.search(r"(blocks)\.\d+(\.\w+)", str(error))
        if part is None:
            raise
        advice = f"leave this part out, wire(model, left_out=['{part[1]}.*{part[2]}'])"
        raise InputError(f"{str(error)[:400]}: it is not built as its names say; {advice}") from error


def second_names(parameters: Mapping[str, Tensor]) -> list[str]:
    """The names under which a parameter comes again."""
    first: dict[int, str] = {}
    return [name for name, p in parameters.items() if first.setdefault(id(p), name) != name]


def _says(missing: Sequence[str], parameters: Mapping[str, Tensor]) -> str:
    """What wire does not know, and the two calls that tell it."""
    shown = ", ".join(f"{name!r} {list(parameters[name].shape)}" for name in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    name, what = missing[0], what_is_missing(missing)
    return (
        f"wire does not know {len(missing)} parameter(s) of the model: {shown}{more}{what}; say what their axes are, "
        f"wire(model, axes={{{name!r}: '{' '.join('?' * parameters[name].ndim)}'}}) with words for '?', or leave out "
        f"all that it does not know, wire(model, left_out=['?']) (names, paths of modules and patterns such as "
        "'blocks.*.mlp.*' do as well): bake_ then holds in place what they may stand on"
    )
