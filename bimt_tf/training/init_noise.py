"""Noise on the initial weights: how far a result hangs on where training began (paper, Figure A5)."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["perturb_"]


@torch.no_grad()
def perturb_(model: nn.Module, noise: float, seed: int) -> None:
    """Add normal noise to every trained parameter, in place; parameters that are all zero stay zero.

    Args:
        model: what begins to train.
        noise: standard deviation of the noise, as a share of the root mean square of its tensor; 0 changes nothing.
        seed: of the noise. Noise of another size with the same seed has the same direction.
    """
    if noise == 0:
        return
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            size = parameter.double().square().mean().sqrt()
            parameter.add_((noise * size * drawn.to(parameter.device)).to(parameter.dtype))
