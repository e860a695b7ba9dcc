"""The layers of a RegressionTransformer: embedding, attention, MLP, block; TransformerLens's names and hooks.

The hook points that TransformerLens makes on request (``hook_result``, ``hook_q_input`` ...) are None until they are
asked for: see :meth:`bimt_tf.models.transformer.RegressionTransformer.set_use_attn_result` and its like.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from bimt_tf.models.layers import activation
from bimt_tf.models.transformer_norms import Norm

__all__ = ["Attention", "Block", "Embed", "Mlp", "Unembed"]


class Embed(nn.Module):
    """Numbers into the residual stream: [batch pos d_in] -> [batch pos d_model]."""

    def __init__(self, d_in: int, d_model: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(d_in, d_model, dtype=dtype))
        self.b_E = nn.Parameter(torch.empty(d_model, dtype=dtype))

    def forward(self, x: Float[Tensor, "batch pos d_in"]) -> Float[Tensor, "batch pos d_model"]:
        return x @ self.W_E + self.b_E


class Unembed(nn.Module):
    """The residual stream into numbers: [batch pos d_model] -> [batch pos d_out]."""

    def __init__(self, d_model: int, d_out: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(d_model, d_out, dtype=dtype))
        self.b_U = nn.Parameter(torch.empty(d_out, dtype=dtype))

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_out"]:
        return x @ self.W_U + self.b_U


class Attention(nn.Module):
    """Causal multi-head attention; W_Q, W_K, W_V [head d_model d_head], W_O [head d_head d_model]."""

    W_Q: nn.Parameter
    b_Q: nn.Parameter
    W_K: nn.Parameter
    b_K: nn.Parameter
    W_V: nn.Parameter
    b_V: nn.Parameter
    hook_q: HookPoint
    hook_k: HookPoint
    hook_v: HookPoint
    hook_z: HookPoint
    hook_attn_scores: HookPoint
    hook_pattern: HookPoint
    hook_result: HookPoint | None
    mask: Tensor

    def __init__(self, d_model: int, n_heads: int, d_head: int, n_ctx: int, dtype: torch.dtype) -> None:
        super().__init__()
        for name in ("Q", "K", "V"):
            setattr(self, f"W_{name}", nn.Parameter(torch.empty(n_heads, d_model, d_head, dtype=dtype)))
            setattr(self, f"b_{name}", nn.Parameter(torch.empty(n_heads, d_head, dtype=dtype)))
        self.W_O = nn.Parameter(torch.empty(n_heads, d_head, d_model, dtype=dtype))
        self.b_O = nn.Parameter(torch.empty(d_model, dtype=dtype))
        for name in ("q", "k", "v", "z", "attn_scores", "pattern"):
            setattr(self, f"hook_{name}", HookPoint())
        self.hook_result = None
        future = torch.ones(n_ctx, n_ctx, dtype=torch.bool).triu(1)
        self.register_buffer("mask", future, persistent=False)
        self.scale = math.sqrt(d_head)

    def forward(
        self,
        q_input: Float[Tensor, "batch pos *head d_model"],
        k_input: Float[Tensor, "batch pos *head d_model"],
        v_input: Float[Tensor, "batch pos *head d_model"],
    ) -> Float[Tensor, "batch pos d_model"]:
        q, k, v = (
            hook(torch.einsum("bphm,hme->bphe" if x.ndim == 4 else "bpm,hme->bphe", x, weight) + bias)
            for x, hook, weight, bias in (
                (q_input, self.hook_q, self.W_Q, self.b_Q),
                (k_input, self.hook_k, self.W_K, self.b_K),
                (v_input, self.hook_v, self.W_V, self.b_V),
            )
        )
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / self.scale
        n = q.shape[1]
        scores = self.hook_attn_scores(scores.masked_fill(self.mask[:n, :n], -torch.inf))
        pattern = self.hook_pattern(scores.softmax(dim=-1))
        z = self.hook_z(torch.einsum("bhqk,bkhe->bqhe", pattern, v))
        if self.hook_result is None:
            return torch.einsum("bqhe,hem->bqm", z, self.W_O) + self.b_O
        return self.hook_result(torch.einsum("bqhe,hem->bqhm", z, self.W_O)).sum(2) + self.b_O


class Mlp(nn.Module):
    """One hidden layer: W_in [d_model d_mlp], W_out [d_mlp d_model]."""

    def __init__(self, d_model: int, d_mlp: int, act_fn: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(d_model, d_mlp, dtype=dtype))
        self.b_in = nn.Parameter(torch.empty(d_mlp, dtype=dtype))
        self.W_out = nn.Parameter(torch.empty(d_mlp, d_model, dtype=dtype))
        self.b_out = nn.Parameter(torch.empty(d_model, dtype=dtype))
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.act_fn = activation(act_fn)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        hidden = self.hook_post(self.act_fn(self.hook_pre(x @ self.W_in + self.b_in)))
        return hidden @ self.W_out + self.b_out


class Block(nn.Module):
    """Attention, then MLP, each added to the residual stream, which they read through a norm where there is one."""

    hook_resid_pre: HookPoint
    hook_attn_out: HookPoint
    hook_resid_mid: HookPoint
    hook_mlp_out: HookPoint
    hook_resid_post: HookPoint
    hook_attn_in: HookPoint | None
    hook_q_input: HookPoint | None
    hook_k_input: HookPoint | None
    hook_v_input: HookPoint | None
    hook_mlp_in: HookPoint | None

    def __init__(self, attn: Attention, mlp: Mlp, ln1: Norm | None = None, ln2: Norm | None = None) -> None:
        super().__init__()
        self.attn, self.mlp = attn, mlp
        self.ln1, self.ln2 = ln1, ln2
        for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"):
            setattr(self, f"hook_{name}", HookPoint())
        for name in ("attn_in", "q_input", "k_input", "v_input", "mlp_in"):
            setattr(self, f"hook_{name}", None)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(*self._attention_inputs(x))))
        read = x if self.hook_mlp_in is None else self.hook_mlp_in(x.clone())
        read = read if self.ln2 is None else self.ln2(read)
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(read)))

    def _attention_inputs(self, x: Float[Tensor, "batch pos d_model"]) -> tuple[Tensor, Tensor, Tensor]:
        """What queries, keys and values read: the residual stream, or a copy a head where a hook is to see it.

        The hooks see the stream as it is; the norm follows.
        """
        normed = _unchanged if self.ln1 is None else self.ln1
        if self.hook_q_input is not None and self.hook_k_input is not None and self.hook_v_input is not None:
            q, k, v = (hook(self._a_head(x)) for hook in (self.hook_q_input, self.hook_k_input, self.hook_v_input))
            return normed(q), normed(k), normed(v)
        if self.hook_attn_in is not None:
            x = self.hook_attn_in(self._a_head(x))
        x = normed(x)
        return x, x, x

    def _a_head(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos head d_model"]:
        return x.unsqueeze(2).repeat(1, 1, self.attn.W_Q.shape[0], 1)


def _unchanged(x: Tensor) -> Tensor:
    return x
