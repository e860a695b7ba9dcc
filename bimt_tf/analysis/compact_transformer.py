"""RegressionTransformer without the heads and neurons that do nothing.

One pass forwards finds what varies with the input at each depth, one pass backwards what an output depends on; what is
both stays. What is constant is folded into the biases that read it. Three things are constant in attention although
they may be written: a key that does not vary adds the same to all scores of a query, which a softmax does not see; a
query without such a key has nothing to multiply; and a value that does not vary leaves a head as it is, since the
attention of a query sums to 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bimt_tf.analysis.compact_plan import Plan, columns_used, rows_used, smaller
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.models.transformer_parts import Attention, Block, Mlp

__all__ = ["compact_transformer"]


class _Residual(NamedTuple):
    """The residual stream at one depth: which neurons vary with the input, and the value of those that do not."""

    vary: Bool[Tensor, " d_model"]
    constant: Float[Tensor, " d_model"]


class _Seen(NamedTuple):
    """One block on the way forwards: the residual stream before attention and MLP, what varies, folded biases."""

    before: _Residual
    middle: _Residual
    qk: Bool[Tensor, "heads d_head"]
    ov: Bool[Tensor, "heads d_head"]
    mlp: Bool[Tensor, " d_mlp"]
    b_O: Float[Tensor, " d_model"]
    b_out: Float[Tensor, " d_model"]


class _Live(NamedTuple):
    """One block on the way backwards: what of it stays."""

    qk: Bool[Tensor, "heads d_head"]
    ov: Bool[Tensor, "heads d_head"]
    mlp: Bool[Tensor, " d_mlp"]


@torch.no_grad()
def compact_transformer(model: RegressionTransformer) -> tuple[RegressionTransformer, Plan]:
    """The smaller transformer, and what stays of the whole one.

    Heads of one block have the width of its widest; ``cfg`` gives the widest block's sizes.
    """
    blocks = [cast(Block, block) for block in model.blocks]
    vary = columns_used(model.embed.W_E)
    if model.cfg.positional_embedding_type is not None:  # a token's position is an input as well
        vary = vary | columns_used(model.W_pos)
    start = _Residual(vary, model.embed.b_E)
    seen = []
    for block in blocks:
        start, one = _through(block, start)
        seen.append(one)
    live, stays = _back(model, blocks, seen, start.vary)
    plan = _plan(model, blocks, seen, live, stays, start.constant)
    made = smaller(model, plan.values)
    widths = [(*b.attn.W_V.shape[::2], b.mlp.W_in.shape[1]) for b in (cast(Block, block) for block in made.blocks)]
    heads, d_head, d_mlp = (max(sizes) for sizes in zip(*widths, strict=True))
    made.cfg = replace(made.cfg, d_model=int(stays.sum()), n_heads=heads, d_head=d_head, d_mlp=d_mlp)
    return made, plan


def _through(block: Block, before: _Residual) -> tuple[_Residual, _Seen]:
    """The residual stream behind a block."""
    attn, mlp = block.attn, block.mlp
    q, k, v = (_read(weight, before.vary) for weight in (attn.W_Q, attn.W_K, attn.W_V))
    q_constant = attn.b_Q + _constant(before, attn.W_Q)
    v_constant = torch.where(v, 0, attn.b_V + _constant(before, attn.W_V))
    b_O = attn.b_O + torch.einsum("he,hem->m", v_constant, attn.W_O)
    middle = _Residual(before.vary | columns_used(attn.W_O[v]), before.constant + b_O)
    hidden = columns_used(mlp.W_in[middle.vary])
    fixed = torch.where(hidden, 0, mlp.act_fn(mlp.b_in + _constant(middle, mlp.W_in)))
    b_out = mlp.b_out + fixed @ mlp.W_out
    after = _Residual(middle.vary | columns_used(mlp.W_out[hidden]), middle.constant + b_out)
    return after, _Seen(before, middle, k & (q | (q_constant != 0)), v, hidden, b_O, b_out)


def _read(
    weight: Float[Tensor, "heads d_model d_head"], vary: Bool[Tensor, " d_model"]
) -> Bool[Tensor, "heads d_head"]:
    """Which neurons of the heads read something that varies."""
    return (weight[:, vary] != 0).any(1)


def _constant(residual: _Residual, weight: Tensor) -> Tensor:
    """What the constant part of the residual stream adds behind a weight [... d_model neurons]."""
    return torch.where(residual.vary, 0, residual.constant) @ weight


def _back(
    model: RegressionTransformer, blocks: list[Block], seen: list[_Seen], vary: Tensor
) -> tuple[list[_Live], Bool[Tensor, " d_model"]]:
    """What stays of each block, and of the residual stream: what varies where something that stays reads it."""
    read = rows_used(model.unembed.W_U)
    stays = read & vary
    live: list[_Live] = []
    for block, one in zip(reversed(blocks), reversed(seen), strict=True):
        attn, mlp = block.attn, block.mlp
        hidden = one.mlp & rows_used(mlp.W_out[:, read])
        reads = rows_used(mlp.W_in[:, hidden])
        stays, read = stays | (reads & one.middle.vary), read | reads
        ov = one.ov & (attn.W_O[:, :, read] != 0).any(-1)
        qk = one.qk & ov.any(1, keepdim=True)
        pairs = ((attn.W_Q, qk), (attn.W_K, qk), (attn.W_V, ov))
        reads = torch.stack([((weight != 0) & kept[:, None]).any(-1).any(0) for weight, kept in pairs]).any(0)
        stays, read = stays | (reads & one.before.vary), read | reads
        live.insert(0, _Live(qk, ov, hidden))
    return live, stays


def _plan(
    model: RegressionTransformer,
    blocks: list[Block],
    seen: list[_Seen],
    live: list[_Live],
    stays: Bool[Tensor, " d_model"],
    last: Float[Tensor, " d_model"],
) -> Plan:
    """The entries that stay, with the constants of the neurons that go in the biases."""
    residual = stays.nonzero().squeeze(1)
    device = residual.device
    inputs, outputs = (torch.arange(n, device=device) for n in (model.cfg.d_in, model.cfg.d_out))
    plan = Plan({"input": inputs, "residual": residual}, {}, {})
    plan.take("embed.W_E", model.embed.W_E, inputs[:, None], residual)
    plan.take("embed.b_E", model.embed.b_E, residual)
    if model.cfg.positional_embedding_type is not None:
        plan.take("pos_embed.W_pos", model.W_pos, torch.arange(len(model.W_pos), device=device)[:, None], residual)
    for i, (block, one, kept) in enumerate(zip(blocks, seen, live, strict=True)):
        _attention(plan, f"blocks.{i}", block.attn, one, kept, residual)
        _mlp(plan, f"blocks.{i}", block.mlp, one, kept.mlp, residual)
    gone = _without(last, residual)
    plan.take("unembed.W_U", model.unembed.W_U, residual[:, None], outputs)
    plan.take("unembed.b_U", model.unembed.b_U + gone @ model.unembed.W_U, outputs)
    plan.kept["output"] = outputs
    return plan


def _attention(
    plan: Plan, block: str, attn: Attention, seen: _Seen, live: _Live, residual: Int64[Tensor, " neurons"]
) -> None:
    gone = _without(seen.before.constant, residual)
    heads = live.ov.any(1).nonzero().squeeze(1)
    for name, stays in (("Q", live.qk), ("K", live.qk), ("V", live.ov)):
        weight, bias = getattr(attn, f"W_{name}"), getattr(attn, f"b_{name}")
        neurons = _of_heads(stays, heads)
        plan.take(f"{block}.attn.W_{name}", weight * stays[:, None], heads[:, None, None], residual[:, None], neurons)
        plan.take(f"{block}.attn.b_{name}", (bias + gone @ weight) * stays, heads[:, None], neurons[:, 0])
    neurons = _of_heads(live.ov, heads).mT
    plan.take(f"{block}.attn.W_O", attn.W_O * live.ov[:, :, None], heads[:, None, None], neurons, residual)
    plan.take(f"{block}.attn.b_O", seen.b_O, residual)
    plan.kept[f"{block}.qk"] = live.qk.flatten().nonzero().squeeze(1)
    plan.kept[f"{block}.ov"] = live.ov.flatten().nonzero().squeeze(1)


def _mlp(plan: Plan, block: str, mlp: Mlp, seen: _Seen, live: Tensor, residual: Int64[Tensor, " neurons"]) -> None:
    hidden = live.nonzero().squeeze(1)
    gone = _without(seen.middle.constant, residual)
    plan.take(f"{block}.mlp.W_in", mlp.W_in, residual[:, None], hidden)
    plan.take(f"{block}.mlp.b_in", mlp.b_in + gone @ mlp.W_in, hidden)
    plan.take(f"{block}.mlp.W_out", mlp.W_out, hidden[:, None], residual)
    plan.take(f"{block}.mlp.b_out", seen.b_out, residual)
    plan.kept[f"{block}.mlp"] = hidden


def _without(constant: Float[Tensor, " d_model"], residual: Int64[Tensor, " neurons"]) -> Float[Tensor, " d_model"]:
    """The constants of the residual neurons that go; 0 for those that stay, which carry theirs on."""
    return constant.index_fill(0, residual, 0)


def _of_heads(stays: Bool[Tensor, "heads d_head"], heads: Int64[Tensor, " kept"]) -> Int64[Tensor, "kept 1 widest"]:
    """Of each head that is kept its neurons that stay; one with fewer than the widest is filled up with others."""
    widest = int(stays[heads].sum(1).max()) if len(heads) else 0
    return stays[heads].int().argsort(dim=1, descending=True, stable=True)[:, :widest].sort(1).values[:, None]
