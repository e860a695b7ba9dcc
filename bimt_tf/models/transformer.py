"""A transformer that reads and writes numbers (paper, Section 3.4): TransformerLens's names and hooks, no norm.

Causal attention without positional embedding, biases everywhere, the residual stream unnormalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import InputError
from bimt_tf.models.layers import HookedModel, activation, check_weights, uniform_, whole

__all__ = ["RegressionTransformer", "RegressionTransformerConfig"]


@dataclass(frozen=True)
class RegressionTransformerConfig:
    """The sizes of a RegressionTransformer, under TransformerLens's names where it has them."""

    d_in: int
    d_out: int
    d_model: int
    n_layers: int
    n_heads: int
    d_head: int
    d_mlp: int
    n_ctx: int
    act_fn: str
    dtype: torch.dtype
    seed: int
    normalization_type: None = None
    attn_only: bool = False
    positional_embedding_type: str = "none"
    final_rms: bool = False


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
        future = torch.ones(n_ctx, n_ctx, dtype=torch.bool).triu(1)
        self.register_buffer("mask", future, persistent=False)
        self.scale = math.sqrt(d_head)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        q, k, v = (
            hook(torch.einsum("bpm,hme->bphe", x, weight) + bias)
            for hook, weight, bias in (
                (self.hook_q, self.W_Q, self.b_Q),
                (self.hook_k, self.W_K, self.b_K),
                (self.hook_v, self.W_V, self.b_V),
            )
        )
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / self.scale
        n = x.shape[1]
        scores = self.hook_attn_scores(scores.masked_fill(self.mask[:n, :n], -torch.inf))
        pattern = self.hook_pattern(scores.softmax(dim=-1))
        z = self.hook_z(torch.einsum("bhqk,bkhe->bqhe", pattern, v))
        return torch.einsum("bqhe,hem->bqm", z, self.W_O) + self.b_O


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
    """Attention, then MLP, each added to the residual stream."""

    hook_resid_pre: HookPoint
    hook_attn_out: HookPoint
    hook_resid_mid: HookPoint
    hook_mlp_out: HookPoint
    hook_resid_post: HookPoint

    def __init__(self, cfg: RegressionTransformerConfig) -> None:
        super().__init__()
        self.attn = Attention(cfg.d_model, cfg.n_heads, cfg.d_head, cfg.n_ctx, cfg.dtype)
        self.mlp = Mlp(cfg.d_model, cfg.d_mlp, cfg.act_fn, cfg.dtype)
        for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"):
            setattr(self, f"hook_{name}", HookPoint())

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(x)))
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(x)))


class RegressionTransformer(HookedModel):
    """A transformer from numbers to numbers, without norm, on TransformerLens's HookedRootModule.

    Args:
        d_in: features of an input token.
        d_out: features of an output token.
        d_model: width of the residual stream.
        n_layers: blocks.
        n_heads: attention heads of a block.
        d_mlp: hidden neurons of a block's MLP; by default 4 d_model.
        n_ctx: the longest input, in tokens.
        d_head: neurons of a head, free of the others; by default d_model // n_heads.
        act_fn: "gelu_new" (tanh GELU), "relu", "silu" or "identity".
        seed: of the initial weights, which are nn.Linear's; the same in every dtype and on every device.
        dtype: of the weights.
        device: of the weights.

    Raises:
        InputError: for a size that is not a whole number of at least 1, an unknown ``act_fn``, a seed that
            is none, a ``dtype`` of other than floating-point numbers, or a device that is not there.
    """

    def __init__(
        self,
        d_in: int = 2,
        d_out: int = 2,
        d_model: int = 32,
        n_layers: int = 2,
        n_heads: int = 1,
        d_mlp: int | None = None,
        n_ctx: int = 3,
        d_head: int | None = None,
        act_fn: str = "gelu_new",
        seed: int = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_weights(seed, dtype, device)
        whole("d_model", d_model), whole("n_heads", n_heads)
        if d_head is None and n_heads > d_model:
            raise InputError(f"n_heads={n_heads} is more than d_model={d_model}: give d_head")
        self.cfg = RegressionTransformerConfig(
            d_in=whole("d_in", d_in),
            d_out=whole("d_out", d_out),
            d_model=d_model,
            n_layers=whole("n_layers", n_layers),
            n_heads=n_heads,
            d_head=d_model // n_heads if d_head is None else whole("d_head", d_head),
            d_mlp=4 * d_model if d_mlp is None else whole("d_mlp", d_mlp),
            n_ctx=whole("n_ctx", n_ctx),
            act_fn=act_fn,
            dtype=dtype,
            seed=seed,
        )
        self.embed = Embed(d_in, d_model, dtype)
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList([Block(self.cfg) for _ in range(n_layers)])
        self.unembed = Unembed(d_model, d_out, dtype)
        self._initialise(torch.Generator().manual_seed(seed))
        self.to(device)
        self.setup()

    def forward(self, x: Float[Tensor, "batch pos d_in"]) -> Float[Tensor, "batch pos d_out"]:
        """Predict ``d_out`` numbers at every position from that position and those before it.

        Raises:
            InputError: for an input that is not [batch, pos, d_in], or longer than ``n_ctx``.
        """
        if x.ndim != 3 or x.shape[-1] != self.cfg.d_in or x.shape[1] > self.cfg.n_ctx:
            raise InputError(f"input must be [batch, pos <= {self.cfg.n_ctx}, {self.cfg.d_in}], found {list(x.shape)}")
        residual = self.hook_embed(self.embed(x))
        for block in self.blocks:
            residual = block(residual)
        return self.unembed(residual)

    def _initialise(self, generator: torch.Generator) -> None:
        """nn.Linear's initial weights, layer by layer in the order of the forward pass."""
        cfg = self.cfg
        uniform_(self.embed.W_E, cfg.d_in, generator)
        uniform_(self.embed.b_E, cfg.d_in, generator)
        for block in self.blocks:
            fans = {"W_Q": cfg.d_model, "W_K": cfg.d_model, "W_V": cfg.d_model, "b_Q": cfg.d_model}
            fans |= {"b_K": cfg.d_model, "b_V": cfg.d_model, "W_O": cfg.n_heads * cfg.d_head}
            fans |= {"b_O": cfg.n_heads * cfg.d_head}
            for name, fan_in in fans.items():
                uniform_(getattr(block.attn, name), fan_in, generator)
            for name, fan_in in {
                "W_in": cfg.d_model,
                "b_in": cfg.d_model,
                "W_out": cfg.d_mlp,
                "b_out": cfg.d_mlp,
            }.items():
                uniform_(getattr(block.mlp, name), fan_in, generator)
        uniform_(self.unembed.W_U, cfg.d_model, generator)
        uniform_(self.unembed.b_U, cfg.d_model, generator)

    @property
    def W_U(self) -> Float[Tensor, "d_model d_out"]:
        """The unembedding, where ActivationCache looks for it."""
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, " d_out"]:
        """The unembedding's bias."""
        return self.unembed.b_U

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """The biases that the first ``layer`` blocks add to the residual stream (ActivationCache needs it).

        Args:
            layer: blocks counted.
            mlp_input: also the attention bias of block ``layer``.
            include_mlp_biases: count b_out as well as b_O.
        """
        blocks = [cast(Block, block) for block in self.blocks]
        total = torch.zeros_like(blocks[0].attn.b_O)
        for block in blocks[:layer]:
            total = total + block.attn.b_O + (block.mlp.b_out if include_mlp_biases else 0)
        return total + blocks[layer].attn.b_O if mlp_input else total
