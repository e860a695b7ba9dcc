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

from bimt_tf.adapters.anatomy import Rotary, gain, heads_of, stack, wired
from bimt_tf.core.axes import ANY
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["matches", "rotary", "wiring"]

_BLOCK = re.compile(r"blocks\.(\d+)\.")
_NORM = re.compile(r"(^|\.)(ln\w*|[qk]_norm)\.[wb]$")


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


def wiring(model: nn.Module) -> Wiring:
    """The wiring of a model with these names; blocks may lack an MLP, biases, or norms."""
    parameters = dict(model.named_parameters())
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
        block, a, q = b.name, f"{b.name}.attn", b.queries if b.queries == b.head else f"({b.queries})"
        table |= {
            f"{block}.ln1.w": b.before,
            f"{block}.ln1.b": b.before,
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
            layers |= {f"{a}.{own}{w}_{x}": f"{a}.qkv" for w in "Wb" for x in "QKV"}
        layers |= {f"{a}.{w}_O": f"{a}.o" for w in "Wb"}
        d_head = shapes.get(f"{a}.W_Q", (0,))[-1]
        positions[block] = rotary(cfg, d_head)
        for x, heads, dims in (("q", q, b.q), ("k", b.head, b.k)):
            name = f"{a}.{x}_norm.w"
            if name in shapes:
                weight = shapes.get(f"{a}._W_{x.upper()}") or shapes.get(f"{a}.W_{x.upper()}", ())
                width = prod(weight[::2])
                if axes := gain(shapes[name], width, heads.strip("()"), dims):
                    table[name] = axes
                else:  # one gain for all heads: no head's dimensions move alone
                    positions[block] = positions[block]._replace(pinned=d_head)
                    left_out.append(name)
        reads_mlp = b.before if parallel else b.middle
        table |= {f"{block}.ln2.{x}": reads_mlp for x in "wb"}
        table |= {f"{block}.ln1_post.{x}": b.middle for x in "wb"}
        table |= {f"{block}.ln2_post.{x}": b.after for x in "wb"}
        table |= {f"{block}.mlp.ln.{x}": b.mlp for x in "wb"}
        table |= {
            f"{block}.mlp.W_in": f"{reads_mlp} {b.mlp}",
            f"{block}.mlp.W_gate": f"{reads_mlp} {b.mlp}",
            f"{block}.mlp.b_in": b.mlp,
            f"{block}.mlp.W_out": f"{b.mlp} {b.after}",
            f"{block}.mlp.b_out": b.after,
        }
        layers |= {f"{block}.mlp.{w}_{x}": f"{block}.mlp.{x}" for w in ("W", "b") for x in ("in", "out")}
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
    )


def _repeats(block: str, shapes: dict[str, tuple[int, ...]]) -> int:
    keys, queries = shapes.get(f"{block}.attn._W_K"), shapes.get(f"{block}.attn.W_Q")
    if keys is None or queries is None:
        return 1
    if len(keys) != 3 or len(queries) != 3:
        raise InputError(f"{block}.attn: W_Q and _W_K must be [head, d_model, d_head], found {queries} and {keys}")
    return heads_of(block, queries[0], keys[0])
