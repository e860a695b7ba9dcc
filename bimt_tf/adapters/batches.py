"""A small batch that a known model takes, by what its config says: for comparing outputs (core/checked_bake.py).

By config and shape:

cfg.d_in and cfg.n_ctx          RegressionTransformer: [4, n_ctx, d_in] numbers
cfg.sizes                       MLP: [4, sizes[0]] numbers
cfg.n_tokens                    TokenMLP: [4, n_tokens] tokens of its table
nn.Sequential                   [4, in_features] of its first linear layer, [2, channels, side, ...] of a convolution
cfg.d_vocab, config.vocab_size  token models: [2, at most 8] tokens
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from bimt_tf.adapters import convolutional

__all__ = ["batch_for"]

TOKENS = 8
SIDES = (8, 16, 28, 32, 48, 64, 96, 128, 224, 256)
"""Images that are tried, smallest first, until one goes through the network."""


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
    elif convolutional.matches(model):
        shape = _of_images(model)
        return None if shape is None else torch.randn(shape, generator=generator).to(first)
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


def _of_images(model: nn.Module) -> tuple[int, ...] | None:
    """The shape of a batch of images that goes through; told by shapes alone, on the meta device."""
    first = next(layer for _, layer in convolutional.leaves(model) if isinstance(layer, _ConvNd))
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: torch.empty_like(tensor, device="meta") for name, tensor in named.items()}
    dtype = next(model.parameters()).dtype
    for side in SIDES:
        shape = (2, first.in_channels, *[side] * len(first.kernel_size))
        try:
            torch.func.functional_call(model, tensors, (torch.empty(shape, device="meta", dtype=dtype),))
        except Exception:  # too small for a kernel, or not as much as is flattened
            continue
        return shape
    return None
