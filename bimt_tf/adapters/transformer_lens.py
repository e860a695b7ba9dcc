"""Models whose parameters are named as TransformerLens 2 and 3 name them, RegressionTransformer among them.

``embed.W_E``, ``blocks.{i}.attn.W_Q`` [head, d_model, d_head], ..., ``unembed.W_U``; weights multiply from the right.
[W_Q, W_K, W_V] is one linear layer (paper, Section 3.4). Vocabularies and positions have no coordinates.
"""

from __future__ import annotations

import re

from torch import nn

from bimt_tf.errors import InputError
from bimt_tf.wiring import ANY, Wiring

__all__ = ["matches", "wiring"]

_BLOCK = re.compile(r"blocks\.(\d+)\.")


def matches(model: nn.Module) -> bool:
    """Whether the model has TransformerLens's names."""
    names = {name for name, _ in model.named_parameters()}
    return "embed.W_E" in names or any(_BLOCK.match(n) and n.endswith(".attn.W_O") for n in names)


def wiring(model: nn.Module) -> Wiring:
    """The wiring of a model with these names; blocks may lack an MLP, biases, or norms."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    grouped = [name for name in shapes if name.endswith(("._W_K", "._W_V"))]
    if grouped:
        raise InputError(f"grouped-query attention ({grouped[0]}) is not wired yet; use Wiring.from_table")
    blocks = sorted({int(found[1]) for name in shapes if (found := _BLOCK.match(name))})
    continuous = not hasattr(getattr(model, "cfg", None), "d_vocab")  # numbers in and out, not tokens
    source, sink = ("input", "output") if continuous else (ANY, ANY)
    # Rotations pair up q/k dimensions and slopes belong to heads: neither survives a physical reordering.
    positions = getattr(getattr(model, "cfg", None), "positional_embedding_type", None)
    unbakeable = {f"blocks.{i}.qk" for i in blocks}

    table: dict[str, str] = {
        "embed.W_E": f"{source} residual@Res0",
        "embed.b_E": "residual@Res0",
        "pos_embed.W_pos": f"{ANY} residual@Res0",
        "embed.ln.w": "residual@Res0",
        "embed.ln.b": "residual@Res0",
    }
    layers: dict[str, str] = {"embed.b_E": "embed", "embed.W_E": "embed"}
    rows = [["input"], ["Res0"]]
    heads: dict[str, str] = {}
    depth = 0
    for i in blocks:
        block = f"blocks.{i}"
        qk, ov, mlp, head = f"{block}.qk", f"{block}.ov", f"{block}.mlp", f"{block}.head"
        before = f"residual@Res{depth}"
        has_mlp = f"{block}.mlp.W_in" in shapes
        depth += 1
        middle = f"residual@Res{depth}"
        q, k, v = (f"{axis}@{block}.{x}" for axis, x in ((qk, "q"), (qk, "k"), (ov, "v")))
        table |= {
            f"{block}.ln1.w": before,
            f"{block}.ln1.b": before,
            f"{block}.attn.W_Q": f"{head} {before} {q}",
            f"{block}.attn.W_K": f"{head} {before} {k}",
            f"{block}.attn.W_V": f"{head} {before} {v}",
            f"{block}.attn.b_Q": f"{head} {q}",
            f"{block}.attn.b_K": f"{head} {k}",
            f"{block}.attn.b_V": f"{head} {v}",
            f"{block}.attn.W_O": f"{head} {v} {middle}",
            f"{block}.attn.b_O": middle,
        }
        layers |= {f"{block}.attn.{w}_{x}": f"{block}.attn.qkv" for w in "Wb" for x in "QKV"}
        layers |= {f"{block}.attn.{w}_O": f"{block}.attn.o" for w in "Wb"}
        heads |= {qk: head, ov: head}
        rows += [[f"{block}.q", f"{block}.k", f"{block}.v"], [f"Res{depth}"]]
        if has_mlp:
            depth += 1
            after = f"residual@Res{depth}"
            table |= {
                f"{block}.ln2.w": middle,
                f"{block}.ln2.b": middle,
                f"{block}.mlp.W_in": f"{middle} {mlp}",
                f"{block}.mlp.W_gate": f"{middle} {mlp}",
                f"{block}.mlp.b_in": mlp,
                f"{block}.mlp.W_out": f"{mlp} {after}",
                f"{block}.mlp.b_out": after,
            }
            layers |= {f"{block}.mlp.{w}_{x}": f"{block}.mlp.{x}" for w in ("W", "b") for x in ("in", "out")}
            rows += [[mlp], [f"Res{depth}"]]
    last = f"residual@Res{depth}"
    table |= {
        "ln_final.w": last,
        "ln_final.b": last,
        "unembed.W_U": f"{last} {sink}",
        "unembed.b_U": sink,
    }
    layers |= {"unembed.W_U": "unembed", "unembed.b_U": "unembed"}
    rows += [["output"]]

    left_out = [name for name in ("unembed.b_U",) if not continuous and name in shapes]
    table = {name: axes for name, axes in table.items() if name in shapes and name not in left_out}
    spelled = {word.split("@")[-1] for axes in table.values() for word in axes.split()}
    populations = {word.split("@")[0] for axes in table.values() for word in axes.split()}
    return Wiring.from_table(
        table,
        model,
        heads={axis: head for axis, head in heads.items() if axis in populations},
        layers={parameter: layer for parameter, layer in layers.items() if parameter in table},
        rows=[kept for row in rows if (kept := [stage for stage in row if stage in spelled])],
        unbakeable=populations & {"input", "output", *(unbakeable if positions in ("rotary", "alibi") else ())},
        uncharged=[name for name in table if re.search(r"(^|\.)ln\w*\.[wb]$", name)],
        left_out=left_out,
    )
