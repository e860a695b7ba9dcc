"""A small batch that a known model takes, by what its config says: for comparing outputs (core/checked_bake.py).

By config and shape:

cfg.d_in and cfg.n_ctx          RegressionTransformer: [4, n_ctx, d_in] numbers
cfg.sizes                       MLP: [4, sizes[0]] numbers
cfg.n_tokens                    TokenMLP: [4, n_tokens] tokens of its table
nn.Sequential                   [4, in_features] of its first linear layer
cfg.d_vocab, config.vocab_size  token models: [2, at most 8] tokens
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["batch_for"]

TOKENS = 8


def batch_for(model: nn.Module) -> Tensor | None:
    """Inputs drawn from seed 0, of the model's dtype and on its device; None for a model that does not say."""
    first = next(iter(model.parameters()), None)
    if first is None or first.is_meta:
        return None
    generator = torch.Generator().manual_seed(0)
    cfg: Any = getattr(model, "cfg", None)
    config: Any = getattr(model, "config", None)
    table = getattr(getattr(model, "embed", None), "weight", None)
    shape: tuple[int, ...] | None = None
    if hasattr(cfg, "d_in") and not hasattr(cfg, "d_vocab"):
        shape = (4, int(cfg.n_ctx), int(cfg.d_in))
    elif hasattr(cfg, "sizes") and not hasattr(cfg, "n_tokens"):
        shape = (4, int(cfg.sizes[0]))
    elif isinstance(model, nn.Sequential):
        linear = next((child for child in model if isinstance(child, nn.Linear)), None)
        shape = None if linear is None else (4, linear.in_features)
    if shape is not None:
        return torch.randn(shape, generator=generator).to(first)
    if hasattr(cfg, "n_tokens") and isinstance(table, Tensor):
        return torch.randint(0, len(table), (4, int(cfg.n_tokens)), generator=generator).to(first.device)
    words = getattr(cfg, "d_vocab", None) or getattr(config, "vocab_size", None)
    if not isinstance(words, int) or words < 1:
        return None
    longest = getattr(cfg, "n_ctx", None) or TOKENS
    length = min(int(longest), TOKENS)
    return torch.randint(0, words, (2, length), generator=generator).to(first.device)
