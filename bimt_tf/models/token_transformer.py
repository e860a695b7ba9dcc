"""A transformer from tokens to logits: TransformerLens's native bridge, with weights that a seed fixes.

TransformerBridge, not a class of its own: norms, rotary positions and hooks are TransformerLens's, and ``wire`` knows
them. A step takes as long as that of a model on HookedRootModule (measured; torch.compile, which breaks bridges into
pieces, saves little at these sizes).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bimt_tf.errors import InputError, require_known
from bimt_tf.models.activation_names import TOKEN_ACT_FNS
from bimt_tf.models.layers import check_weights, whole

__all__ = ["NORMALIZATIONS", "POSITIONS", "token_transformer"]

NORMALIZATIONS = {"none": None, "layer": "LN", "rms": "RMS"}
POSITIONS = ("standard", "rotary")


def token_transformer(
    vocabulary: int,
    n_ctx: int,
    *,
    d_model: int,
    n_layers: int,
    n_heads: int,
    d_head: int | None = None,
    d_mlp: int | None = None,
    act_fn: str = "gelu_new",
    normalization: str = "none",
    positions: str = "standard",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """A causal transformer [batch, pos] tokens -> [batch, pos, vocabulary] logits.

    Args:
        vocabulary: tokens in and out.
        n_ctx: the longest input.
        d_model: width of the residual stream.
        n_layers: blocks.
        n_heads: attention heads of a block.
        d_head: neurons of a head; d_model // n_heads unless given.
        d_mlp: hidden neurons of a block's MLP; 4 d_model unless given.
        act_fn: one of ``TOKEN_ACT_FNS`` (activation_names.py).
        normalization: one of ``NORMALIZATIONS``: of the residual stream, before each layer and before the logits.
        positions: one of ``POSITIONS``: a trained table, or rotations of q and k.
        seed: of the initial weights (GPT-2's); global random states stay as they are.
        dtype: of the weights.

    Raises:
        InputError: for a size that is not a whole number of at least 1, an unknown name, a bad seed or dtype.
    """
    check_weights(seed, dtype)
    require_known("act_fn", act_fn, TOKEN_ACT_FNS)
    require_known("normalization", normalization, tuple(NORMALIZATIONS))
    require_known("positions", positions, POSITIONS)
    head = _head_size(d_model, n_heads, d_head, positions)
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    sizes: dict[str, Any] = {"rotary_dim": head} if positions == "rotary" else {}
    config = TransformerBridgeConfig(
        d_vocab=whole("vocabulary", vocabulary),
        n_ctx=whole("n_ctx", n_ctx),
        d_model=whole("d_model", d_model),
        n_layers=whole("n_layers", n_layers),
        n_heads=whole("n_heads", n_heads),
        d_head=head,
        d_mlp=4 * d_model if d_mlp is None else whole("d_mlp", d_mlp),
        act_fn=act_fn,
        normalization_type=NORMALIZATIONS[normalization],
        positional_embedding_type=positions,
        seed=seed,  # of a generator of TransformerLens's own
        **sizes,
    )
    bridge: Any = TransformerBridge  # its types do not know the class method
    model: nn.Module = bridge.boot_native(config, dtype=dtype)
    return model


def _head_size(d_model: int, n_heads: int, d_head: int | None, positions: str) -> int:
    """Neurons of a head; raises InputError if there are none, or rotations cannot pair them."""
    if d_head is None and whole("n_heads", n_heads) > whole("d_model", d_model):
        raise InputError(f"n_heads={n_heads} is more than d_model={d_model}: give d_head")
    head = d_model // n_heads if d_head is None else whole("d_head", d_head)
    if positions == "rotary" and head % 2:
        raise InputError(f"rotary positions turn pairs of a head's neurons: d_head must be even, found {head}")
    return head
