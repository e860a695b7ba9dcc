"""Models whose parameters are named as TransformerLens 2 and 3 name them, RegressionTransformer among them.

``embed.W_E``, ``blocks.{i}.attn.W_Q`` [head, d_model, d_head], ..., ``unembed.W_U``; weights multiply from the right;
grouped-query attention has ``_W_K`` and ``_W_V`` with fewer heads. [W_Q, W_K, W_V] is one linear layer (paper, Section
3.4). Vocabularies and positions have no coordinates; norms pay no connection cost.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

from torch import nn

from bimt_tf.adapters.anatomy import NOTHING, Block, Given, Rotary, gain, heads_of, stack, wired
from bimt_tf.core.axes import ANY
from bimt_tf.core.model_tree import held, paths
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["matches", "rotary", "wiring"]

_BLOCK = re.compile(r"blocks\.(\d+)\.")
_NORM = re.compile(r"(^|\.)(ln\w*|[qk]_norm)\.[wb]$")
_POSITIONS = re.compile(r"^(mask|blocks\.\d+\.attn\.(mask|IGNORE|rotary_sin|rotary_cos|alibi))$")
"""Buffers over positions alone, or over rotated q/k dimensions and heads, which are held in place anyway."""


def matches(model: nn.Module) -> bool:
    """Whether the model has TransformerLens's names."""
    names = {name for name, _ in model.named_parameters()}
    return "embed.W_E" in names or any(_BLOCK.match(n) and n.endswith(".attn.W_O") for n in names)


def rotary(cfg: Any, d_head: int) -> Rotary:
    """How positions enter attention by a model's ``cfg``: rotations pair up q/k dimensions, slopes belong to heads."""
    kind = str(getattr(cfg, "positional_embedding_type", None) or "none").lower()
    if kind == "rotary":
        return Rotary(pinned=min(getattr(cfg, "rotary_dim", None) or d_head, d_head))
    return Rotary(anchored=kind == "alibi")


def wiring(model: nn.Module, given: Given = NOTHING) -> Wiring:
    """The wiring of a model with these names; blocks may lack an MLP, biases, or norms. ``given``: the user's."""
    tensors = list(held(paths(model), attributes=False))
    parameters = {one.name: one.tensor for one in tensors if one.kind == "parameter"}
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    cfg = getattr(model, "cfg", None)
    numbers = {int(found[1]) for name in shapes if (found := _BLOCK.match(name))}
    names = [f"blocks.{i}" for i in sorted(numbers)]
    continuous = not hasattr(cfg, "d_vocab")  # numbers in and out, not tokens
    source, sink = ("input", "output") if continuous else (ANY, ANY)
    parallel = bool(getattr(cfg, "parallel_attn_mlp", False))
    anatomy = stack(
        [(block, f"{block}.mlp.W_in" in shapes, parallel) for block in names], [_repeats(b, shapes) for b in names]
    )

    table: dict[str, str] = {
        "embed.W_E": f"{source} {anatomy.first}",
        "embed.b_E": anatomy.first,
        "pos_embed.W_pos": f"{ANY} {anatomy.first}",
        "embed.ln.w": anatomy.first,
        "embed.ln.b": anatomy.first,
    }
    layers: dict[str, str] = {"embed.b_E": "embed", "embed.W_E": "embed"}
    positions: dict[str, Rotary] = {}
    left_out = [] if continuous else ["unembed.b_U"]
    for b in anatomy.blocks:
        d_head = shapes.get(f"{b.name}.attn.W_Q", (0,))[-1]
        positions[b.name] = rotary(cfg, d_head)
        gains, shared = _gains(b, shapes)
        if shared:  # one gain for all heads: no head's dimensions move alone
            positions[b.name] = positions[b.name]._replace(pinned=d_head)
        left_out += shared
        table |= _attention(b) | gains | _mlp(b, b.before if parallel else b.middle)
        layers |= _layers(b.name)
    table |= {
        "ln_final.w": anatomy.last,
        "ln_final.b": anatomy.last,
        "unembed.W_U": f"{anatomy.last} {sink}",
        "unembed.b_U": sink,
    }
    layers |= {"unembed.W_U": "unembed", "unembed.b_U": "unembed"}
    return wired(
        table,
        parameters,
        anatomy,
        layers,
        positions=positions,
        heads={},  # a dimension of their own says how many
        norms=[name for name in table if _NORM.search(name)],
        left_out=left_out,
        unbakeable=("input", "output"),
        order_free=[one.name for one in tensors if one.kind == "buffer" and _POSITIONS.search(one.name)],
        given=given,
    )


def _queries(b: Block) -> str:
    return b.queries if b.queries == b.head else f"({b.queries})"


def _attention(b: Block) -> dict[str, str]:
    """The axis strings of a block's attention and the norms around it, but for the gains of q and k."""
    a, q = f"{b.name}.attn", _queries(b)
    table = {
        f"{b.name}.ln1.w": b.before,
        f"{b.name}.ln1.b": b.before,
        f"{a}.W_Q": f"{q} {b.before} {b.q}",
        f"{a}.b_Q": f"{q} {b.q}",
        f"{a}.W_O": f"{q} {b.v} {b.middle}",
        f"{a}.b_O": b.middle,
    }
    for own in "", "_":  # the underscore is grouped-query attention's
        table |= {
            f"{a}.{own}W_K": f"{b.head} {b.before} {b.k}",
            f"{a}.{own}W_V": f"{b.head} {b.before} {b.v}",
            f"{a}.{own}b_K": f"{b.head} {b.k}",
            f"{a}.{own}b_V": f"{b.head} {b.v}",
        }
    return table


def _gains(b: Block, shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, str], list[str]]:
    """The axis strings of the gains of q and k, and those gains that all heads share, which no string describes."""
    table, shared = {}, []
    for x, heads, dims in (("q", _queries(b), b.q), ("k", b.head, b.k)):
        name, weight = f"{b.name}.attn.{x}_norm.w", f"W_{x.upper()}"
        if name in shapes:
            of_weight = shapes.get(f"{b.name}.attn._{weight}") or shapes.get(f"{b.name}.attn.{weight}", ())
            if axes := gain(shapes[name], prod(of_weight[::2]), heads.strip("()"), dims):
                table[name] = axes
            else:
                shared.append(name)
    return table, shared


def _mlp(b: Block, reads: str) -> dict[str, str]:
    """The axis strings of a block's MLP, which reads the residual stream at ``reads``, and of the norms around it."""
    m = f"{b.name}.mlp"
    table = {f"{b.name}.ln2.{x}": reads for x in "wb"}
    table |= {f"{b.name}.ln1_post.{x}": b.middle for x in "wb"}
    table |= {f"{b.name}.ln2_post.{x}": b.after for x in "wb"}
    table |= {f"{m}.ln.{x}": b.mlp for x in "wb"}
    return table | {
        f"{m}.W_in": f"{reads} {b.mlp}",
        f"{m}.W_gate": f"{reads} {b.mlp}",
        f"{m}.b_in": b.mlp,
        f"{m}.W_out": f"{b.mlp} {b.after}",
        f"{m}.b_out": b.after,
    }


def _layers(block: str) -> dict[str, str]:
    """Parameter -> its linear layer, of a block: [W_Q, W_K, W_V] is one."""
    a, m = f"{block}.attn", f"{block}.mlp"
    layers = {f"{a}.{own}{w}_{x}": f"{a}.qkv" for own in ("", "_") for w in "Wb" for x in "QKV"}
    layers |= {f"{a}.{w}_O": f"{a}.o" for w in "Wb"}
    return layers | {f"{m}.{w}_{x}": f"{m}.{x}" for w in "Wb" for x in ("in", "out")}


def _repeats(block: str, shapes: dict[str, tuple[int, ...]]) -> int:
    keys, queries = shapes.get(f"{block}.attn._W_K"), shapes.get(f"{block}.attn.W_Q")
    if keys is None or queries is None:
        return 1
    if len(keys) != 3 or len(queries) != 3:
        raise InputError(f"{block}.attn: W_Q and _W_K must be [head, d_model, d_head], found {queries} and {keys}")
    return heads_of(block, queries[0], keys[0])
