"""A transformer that reads and writes numbers (paper, Section 3.4): TransformerLens's names and hooks.

Causal attention, biases everywhere. Unless asked for, no positional embedding, and the residual stream unnormalised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import InputError, require_known
from bimt_tf.models.layers import check_weights, uniform_, whole
from bimt_tf.models.stacked_weights import StackedWeights
from bimt_tf.models.transformer_norms import Norm, PosEmbed, checked_options
from bimt_tf.models.transformer_parts import Attention, Block, Embed, Mlp, Unembed

__all__ = ["RegressionTransformer", "RegressionTransformerConfig", "has_norm"]


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
    normalization_type: str | None = None
    attn_only: bool = False
    positional_embedding_type: str | None = None
    eps: float = 1e-5
    final_rms: bool = False
    device: torch.device = torch.device("cpu")
    use_attn_result: bool = False
    use_attn_in: bool = False
    use_split_qkv_input: bool = False
    use_hook_mlp_in: bool = False


OF_TOKENS = (
    "tokenizer", "to_tokens", "to_string", "to_str_tokens", "to_single_token", "to_single_str_token", "generate",
    "get_token_position", "loss_fn", "W_E_pos", "set_tokenizer", "fold_layer_norm", "process_weights_",
    "enable_compatibility_mode",
)  # fmt: skip
"""What TransformerLens's language models have and a model of numbers cannot have."""

OF_OPTIONS = {
    "ln_final": "normalization_type", "pos_embed": "positional_embedding_type", "W_pos": "positional_embedding_type",
    "hook_pos_embed": "positional_embedding_type",
}  # fmt: skip
"""What only a model with an option has -> the option."""


class RegressionTransformer(StackedWeights):
    """A transformer from numbers to numbers, on TransformerLens's HookedRootModule; without norm unless asked for.

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
        seed: of the initial weights, which are nn.Linear's; the same in every dtype and on every device, and whatever
            the options below: norms begin as 1 and 0, positions are drawn last, as ``b_E`` is drawn.
        dtype: of the weights.
        device: of the weights.
        normalization_type: None, or the norm before each layer and the unembedding: "LN", "LNPre" (without gain and
            bias), "RMS", "RMSPre".
        positional_embedding_type: None, or "standard", a trained vector for each position.
        eps: what norms add to the mean square.

    Raises:
        InputError: for a size that is not a whole number of at least 1, an unknown ``act_fn``, norm or positional
            embedding, a seed that is none, a ``dtype`` of other than floating-point numbers, a device that is not
            there, or an ``eps`` that is not positive.
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
        normalization_type: Literal["LN", "LNPre", "RMS", "RMSPre"] | None = None,
        positional_embedding_type: Literal["standard"] | None = None,
        eps: float = 1e-5,
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
            **checked_options(normalization_type, positional_embedding_type, eps),
        )
        self.embed = Embed(d_in, d_model, dtype)
        self.hook_embed = HookPoint()
        if positional_embedding_type is not None:
            self.pos_embed = PosEmbed(n_ctx, d_model, dtype)
            self.hook_pos_embed = HookPoint()
        self.blocks = nn.ModuleList([_block(self.cfg) for _ in range(n_layers)])
        if (norm := _norm(self.cfg)) is not None:
            self.ln_final = norm
        self.unembed = Unembed(d_model, d_out, dtype)
        self._initialise(torch.Generator().manual_seed(seed))
        self.to(device)
        self.setup()

    def forward(
        self,
        x: Float[Tensor, "batch pos features"],
        return_type: Literal["logits", "loss", "both"] | None = "logits",
        *,
        loss: Callable[[Tensor], Tensor] | None = None,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
    ) -> Any:
        """Predict ``d_out`` numbers at every position from that position and those before it.

        Args:
            x: [batch, pos, d_in]; with ``start_at_layer`` the residual stream before that block, [batch, pos, d_model].
            return_type: "logits" for the outputs [batch, pos, d_out] (TransformerLens's word), "loss" for ``loss`` of
                them, "both" for the two, None for nothing, where hooks alone matter.
            loss: a function of the outputs that gives a number, such as ``lambda y: (y - target).square().mean()``.
            start_at_layer: the first block that is run, from the end if negative.
            stop_at_layer: the first block that is not run, from the end if negative; the residual stream before it is
                returned, whatever ``return_type`` says.

        Raises:
            InputError: for an input of another shape, or longer than ``n_ctx``; a layer that is none; another
                ``return_type``, or "loss" or "both" without ``loss``.
        """
        first = 0 if start_at_layer is None else self._layer("start_at_layer", start_at_layer)
        last = None if stop_at_layer is None else self._layer("stop_at_layer", stop_at_layer)
        features = self.cfg.d_in if start_at_layer is None else self.cfg.d_model
        if x.ndim != 3 or x.shape[-1] != features or x.shape[1] > self.cfg.n_ctx:
            raise InputError(f"input must be [batch, pos <= {self.cfg.n_ctx}, {features}], found {list(x.shape)}")
        residual = self._embedded(x) if start_at_layer is None else x
        for block in list(self.blocks)[first:last]:
            residual = block(residual)
        if last is not None:
            return residual
        if self.cfg.normalization_type is not None:
            residual = self.ln_final(residual)
        return _returned(self.unembed(residual), return_type, loss)

    def _embedded(self, x: Float[Tensor, "batch pos d_in"]) -> Float[Tensor, "batch pos d_model"]:
        embedded = self.hook_embed(self.embed(x))
        if self.cfg.positional_embedding_type is None:
            return embedded
        return embedded + self.hook_pos_embed(self.pos_embed(x))

    def set_use_attn_result(self, use_attn_result: bool) -> None:
        """Make ``blocks.{i}.attn.hook_result`` [batch pos head d_model], what each head writes; or take it away."""
        self._hooks_on_request("use_attn_result", use_attn_result, "attn.hook_result")

    def set_use_attn_in(self, use_attn_in: bool) -> None:
        """Make ``blocks.{i}.hook_attn_in`` [batch pos head d_model], what each head reads; or take it away."""
        self._hooks_on_request("use_attn_in", use_attn_in, "hook_attn_in")

    def set_use_split_qkv_input(self, use_split_qkv_input: bool) -> None:
        """Make ``blocks.{i}.hook_q_input`` and k's and v's, what queries, keys and values of each head read; or not."""
        names = [f"hook_{x}_input" for x in "qkv"]
        self._hooks_on_request("use_split_qkv_input", use_split_qkv_input, *names)

    def set_use_hook_mlp_in(self, use_hook_mlp_in: bool) -> None:
        """Make ``blocks.{i}.hook_mlp_in`` [batch pos d_model], what the MLP reads; or take it away."""
        self._hooks_on_request("use_hook_mlp_in", use_hook_mlp_in, "hook_mlp_in")

    def _hooks_on_request(self, flag: str, wanted: bool, *names: str) -> None:
        for block in self.blocks:
            for name in names:
                path, _, own = name.rpartition(".")
                home = block.get_submodule(path)
                if (getattr(home, own) is not None) != bool(wanted):
                    setattr(home, own, HookPoint() if wanted else None)
        flags: dict[str, Any] = {flag: bool(wanted)}
        self.cfg = replace(self.cfg, **flags)
        self.setup()

    def _layer(self, name: str, layer: int) -> int:
        """A block's number counted from the front; as many as there are blocks is behind the last."""
        n = len(self.blocks)
        if isinstance(layer, bool) or not isinstance(layer, int) or not -n <= layer <= n:
            raise InputError(f"{name} must be a block, 0 to {n} (or -{n} to -1), found {layer!r}")
        return layer % n if layer < 0 else layer

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RegressionTransformer:
        """What ``to``, ``cuda``, ``double`` ... come down to: ``cfg`` says afterwards where and in what it computes."""
        super()._apply(fn, recurse)
        self.cfg = replace(self.cfg, dtype=self.embed.W_E.dtype, device=self.embed.W_E.device)
        return self

    def __getattr__(self, name: str) -> Any:
        if name in OF_TOKENS:
            raise AttributeError(
                f"a RegressionTransformer has no {name}: it reads and writes numbers, not tokens "
                "(docs/transformer-lens.md says what stands in its place)"
            )
        if name in OF_OPTIONS and name not in self._modules:
            raise AttributeError(f"this RegressionTransformer has no {name}: it was made with {OF_OPTIONS[name]}=None")
        return super().__getattr__(name)

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
        if cfg.positional_embedding_type is not None:
            uniform_(self.pos_embed.W_pos, cfg.d_in, generator)


def has_norm(model: nn.Module) -> TypeGuard[RegressionTransformer]:
    """Whether a model is a RegressionTransformer with norms, whose layers read another vector than the stream's."""
    return isinstance(model, RegressionTransformer) and model.cfg.normalization_type is not None


def _block(cfg: RegressionTransformerConfig) -> Block:
    return Block(
        Attention(cfg.d_model, cfg.n_heads, cfg.d_head, cfg.n_ctx, cfg.dtype),
        Mlp(cfg.d_model, cfg.d_mlp, cfg.act_fn, cfg.dtype),
        _norm(cfg),
        _norm(cfg),
    )


def _norm(cfg: RegressionTransformerConfig) -> Norm | None:
    kind = cfg.normalization_type
    return None if kind is None else Norm(kind, cfg.d_model, cfg.eps, cfg.dtype)


def _returned(outputs: Tensor, return_type: str | None, loss: Callable[[Tensor], Tensor] | None) -> Any:
    if return_type is None or return_type == "logits":
        return None if return_type is None else outputs
    require_known("return_type", return_type, ("logits", "loss", "both"))
    if loss is None:
        raise InputError(f"return_type={return_type!r} needs loss=, a function of the outputs that gives a number")
    return loss(outputs) if return_type == "loss" else (outputs, loss(outputs))
