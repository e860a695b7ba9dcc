"""The same transformer in plain nn.Linear layers, without hooks or named axes: the bar for a compiled step."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bimt_tf import RegressionTransformer

__all__ = ["PlainTransformer"]


class PlainBlock(nn.Module):
    """Fused attention and an MLP, each added to the residual stream."""

    def __init__(self, d_model: int, n_heads: int, d_head: int, d_mlp: int, n_ctx: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.c_attn = nn.Linear(d_model, 3 * n_heads * d_head, dtype=dtype)
        self.c_proj = nn.Linear(n_heads * d_head, d_model, dtype=dtype)
        self.c_fc = nn.Linear(d_model, d_mlp, dtype=dtype)
        self.c_out = nn.Linear(d_mlp, d_model, dtype=dtype)
        self.register_buffer("mask", torch.ones(n_ctx, n_ctx, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, pos, d_model] -> the same."""
        n = x.shape[1]
        q, k, v = self.c_attn(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(self.mask[:n, :n], -torch.inf).softmax(-1)
        x = x + self.c_proj((pattern @ v).transpose(1, 2).flatten(2))
        return x + self.c_out(F.gelu(self.c_fc(x), approximate="tanh"))


class PlainTransformer(nn.Module):
    """RegressionTransformer's shapes and arithmetic (act_fn "gelu_new") with the weights of ``source``."""

    def __init__(self, source: RegressionTransformer) -> None:
        super().__init__()
        cfg = source.cfg
        if cfg.act_fn != "gelu_new":
            raise ValueError(f"the plain transformer has act_fn 'gelu_new' only, found {cfg.act_fn!r}")
        self.embed = nn.Linear(cfg.d_in, cfg.d_model, dtype=cfg.dtype)
        self.blocks = nn.ModuleList(
            PlainBlock(cfg.d_model, cfg.n_heads, cfg.d_head, cfg.d_mlp, cfg.n_ctx, cfg.dtype) for _ in source.blocks
        )
        self.unembed = nn.Linear(cfg.d_model, cfg.d_out, dtype=cfg.dtype)
        self._copy(source)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, pos, d_in] -> [batch, pos, d_out]."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)

    @torch.no_grad()
    def _copy(self, source: RegressionTransformer) -> None:
        def copy(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
            linear.weight.copy_(weight.T)
            linear.bias.copy_(bias)

        copy(self.embed, source.embed.W_E, source.embed.b_E)
        for block, theirs in zip(self.blocks, source.blocks, strict=True):
            a, mlp = theirs.attn, theirs.mlp
            qkv = torch.cat([w.permute(1, 0, 2).flatten(1) for w in (a.W_Q, a.W_K, a.W_V)], dim=1)
            copy(block.c_attn, qkv, torch.cat([b.flatten() for b in (a.b_Q, a.b_K, a.b_V)]))
            copy(block.c_proj, a.W_O.flatten(0, 1), a.b_O)
            copy(block.c_fc, mlp.W_in, mlp.b_in)
            copy(block.c_out, mlp.W_out, mlp.b_out)
        copy(self.unembed, source.unembed.W_U, source.unembed.b_U)
