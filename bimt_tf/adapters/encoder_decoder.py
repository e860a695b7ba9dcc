"""Encoders and decoders behind TransformerLens's bridge: T5, BART, Marian and their kin.

Two residual streams, joined by the decoder's cross attention, whose keys and values read the encoder's last stage.
Where one table of words is embedded into both, one order must serve both: they are one population, ``residual``, with
stages ``encoder.Res0``, ``encoder.Res1``, ..., ``decoder.Res0``, ... Where each has a table of its own the encoder's is
``encoder.residual``. Populations of a block: ``encoder_blocks.0.qk .ov .mlp``, ``decoder_blocks.0.qk .ov .mlp``, and
``decoder_blocks.0.cross.qk .cross.ov``.

T5's bias by distance belongs to a head's number, and all blocks share it: the heads of self-attention keep their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from bimt_tf.adapters import bridge
from bimt_tf.adapters.anatomy import NOTHING, Block, Given, Rotary, Stack, heads_of, wired
from bimt_tf.adapters.head_geometry import HeadGeometry, geometry
from bimt_tf.adapters.known_buffers import free_of_order
from bimt_tf.core.axes import ANY
from bimt_tf.core.wiring import Wiring

__all__ = ["matches", "wiring"]

_SUBLAYERS = {"encoder": ("attn",), "decoder": ("self_attn", "cross_attn")}
"""The attentions of a block, each before the next; an MLP is last."""

_NORM = re.compile(r"(^|[._])ln\w*\.(weight|bias)$")
_WORDS = re.compile(r"(^|\.)(embed|embed_tokens|(en|de)coder_embed|shared)\.weight$")
_OWN = ("weight", "bias")

Homes = Mapping[str, tuple[nn.Module, str]]


class _Drawn(NamedTuple):
    """What the blocks of both stacks add up to: tables, rows of the drawing, attentions by their block's name."""

    table: dict[str, str]
    layers: dict[str, str]
    rows: list[list[str]]
    blocks: list[Block]
    heads: dict[str, HeadGeometry]
    positions: dict[str, Rotary]


def matches(model: Any) -> bool:
    """Whether the model is a bridge around an encoder and a decoder."""
    return bridge.matches(model) and {f"{x}_blocks" for x in _SUBLAYERS} <= set(model.adapter.component_mapping)


def wiring(model: Any, given: Given = NOTHING) -> Wiring:
    """The wiring of an encoder and a decoder; ``given``: what the user adds.

    Raises:
        InputError: for heads that do not fit the shapes, or parameters that are no part of these.
    """
    bridge.require_unprocessed(model)
    everything = list(bridge.tensors(model))
    at = {one.name: (one.module, one.own) for one in everything if one.kind == "parameter"}
    parameters = {name: getattr(*home) for name, home in at.items()}
    streams = _streams(parameters)
    made = _Drawn({}, {}, [], [], {}, {})
    read = ""
    for stack in _SUBLAYERS:
        read = _stack(stack, f"{streams[stack]}@{stack}.Res", model, at, read, made)
    words = _words(parameters, streams)
    idle = [name for name in parameters if _WORDS.search(name) and name not in words]  # tables that nobody embeds
    biases = []
    for name in ("pos_embed.weight", "decoder_pos_embed.weight"):
        if _by_distance(model):
            biases.append(name)
        elif name in at and "Sinusoidal" in type(at[name][0]).__name__:  # not saved, and made anew when loaded (Marian)
            idle.append(name)
        else:
            words[name] = f"{ANY} {_first('decoder' if 'decoder' in name else 'encoder', streams)}"
    table = words | made.table
    return wired(
        table,
        parameters,
        Stack(made.blocks, _first("encoder", streams), read, made.rows),
        made.layers,
        positions=made.positions,
        heads={name: one.keys for name, one in made.heads.items()},
        norms=[name for name in table if _NORM.search(name)],
        left_out=["unembed.bias", *biases],
        order_free=[*free_of_order(everything), "final_logits_bias"],
        given=given._replace(left_out=(*given.left_out, *idle)),
    )


def _stack(stack: str, stream: str, model: Any, at: Homes, read: str, made: _Drawn) -> str:
    """Add the blocks of the encoder or the decoder to ``made``; its last stage.

    ``stream``: the beginning of its stages' words; ``read``: the encoder's last stage, which cross attention reads.
    """
    made.rows.append([f"{stack}.Res0"])
    short = "" if stack == "encoder" else "decoder_"
    for own in _OWN:
        made.table[f"{short}embed_ln.{own}"] = f"{stream}0"
    depth = 0
    for i in range(len(getattr(model, f"{stack}_blocks"))):
        name = f"{stack}_blocks.{i}"
        for attention in _SUBLAYERS[stack]:
            cross = attention == "cross_attn"
            path, unit = f"{name}.{attention}", f"{name}.cross" if cross else name
            before, after = f"{stream}{depth}", f"{stream}{depth + 1}"
            heads = geometry(path, model, at)
            _attention(path, _block(unit, before, after, heads), heads, at, read if cross else before, made)
            made.heads[unit], made.positions[unit] = heads, _position(model, heads.size, cross)
            made.rows.extend([[f"{unit}.{x}" for x in "qkv"], [f"{stack}.Res{depth + 1}"]])
            depth += 1
        before, after, mlp = f"{stream}{depth}", f"{stream}{depth + 1}", f"{name}.mlp"
        for x, out, into in (("in", mlp, before), ("gate", mlp, before), ("out", after, mlp)):
            made.table.update(bridge.linear(f"{mlp}.{x}", at, out, into))
            made.layers.update({f"{mlp}.{x}.{own}": f"{mlp}.{x}" for own in _OWN})
        made.rows.extend([[mlp], [f"{stack}.Res{depth + 1}"]])
        depth += 1
        for number in range(1, len(_SUBLAYERS[stack]) + 2):
            stage = depth - len(_SUBLAYERS[stack]) - 2 + number
            made.table.update({f"{name}.ln{number}.{own}": f"{stream}{stage}" for own in _OWN})
            made.table.update({f"{name}.ln{number}_post.{own}": f"{stream}{stage + 1}" for own in _OWN})
    last = f"{stream}{depth}"
    made.table.update({f"{stack}_ln_final.{own}": last for own in _OWN})
    if stack == "decoder":
        made.table.update(bridge.linear("unembed", at, ANY, last))
        made.layers["unembed.weight"] = "unembed"
    return last


def _block(name: str, before: str, after: str, heads: HeadGeometry) -> Block:
    """The words of one attention."""
    head = f"{name}.head"
    queries = head if heads_of(name, heads.queries, heads.keys) == 1 else f"{head} {ANY}"
    q, k, v = f"{name}.qk@{name}.q", f"{name}.qk@{name}.k", f"{name}.ov@{name}.v"
    return Block(name, before, after, after, q, k, v, f"{name}.mlp", head, queries)


def _attention(path: str, b: Block, heads: HeadGeometry, at: Homes, read: str, made: _Drawn) -> None:
    """Add an attention to ``made``: queries read the block's own stream, keys and values ``read``."""
    made.blocks.append(b)
    ends = {
        "q": (f"({b.queries} {b.q})", b.before),
        "k": (f"({b.head} {b.k})", read),
        "v": (f"({b.head} {b.v})", read),
        "o": (b.middle, f"({b.queries} {b.v})"),
    }
    for x, (out, into) in ends.items():
        made.table.update(bridge.linear(f"{path}.{x}", at, out, into))
        made.layers.update({f"{path}.{x}.{own}": f"{path}.{'o' if x == 'o' else 'qkv'}" for own in _OWN})


def _streams(parameters: Mapping[str, nn.Parameter]) -> dict[str, str]:
    """Stack -> the population of its residual stream: one for both where a table of words, or its end, is shared."""
    own = {id(p) for name, p in parameters.items() if _WORDS.search(name) and "decoder" in name}
    shared = {id(p) for name, p in parameters.items() if _WORDS.search(name) and "decoder" not in name}
    own_end = own | {id(parameters[name]) for name in ("unembed.weight",) if name in parameters}
    return {"encoder": "encoder.residual" if own and not own_end & shared else "residual", "decoder": "residual"}


def _first(stack: str, streams: Mapping[str, str]) -> str:
    return f"{streams[stack]}@{stack}.Res0"


def _words(parameters: Mapping[str, nn.Parameter], streams: Mapping[str, str]) -> dict[str, str]:
    """The axes of the tables of words, under each of their names; one that no stack embeds has none."""
    sides = {name: "decoder" if "decoder" in name else "encoder" for name in parameters if _WORDS.search(name)}
    embedded = {id(parameters[name]): side for name, side in sides.items() if "shared" not in name}
    sides = {name: embedded[id(parameters[name])] for name in sides if id(parameters[name]) in embedded}
    return {name: f"{ANY} {_first(side, streams)}" for name, side in sides.items()}


def _by_distance(model: Any) -> bool:
    return getattr(model.cfg, "positional_embedding_type", None) == "relative_positional_bias"


def _position(model: Any, size: int, cross: bool) -> Rotary:
    """How positions enter an attention; where that is not known, neither dimensions nor heads move."""
    mapping = model.adapter.component_mapping
    if _by_distance(model):
        return Rotary(anchored=not cross)
    if getattr(model.cfg, "positional_embedding_type", None) == "standard" and {
        "pos_embed",
        "decoder_pos_embed",
    } <= set(mapping):
        return Rotary()
    return Rotary(pinned=size, anchored={"encoder_rotary_emb", "decoder_rotary_emb"}.isdisjoint(mapping))
