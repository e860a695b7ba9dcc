"""Refitting many weights: Adam on minibatches, zeros staying zero (Kingma and Ba, 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from bimt_tf.training.elimination.minibatches import Minibatches

__all__ = ["refit_"]

BETAS = (0.9, 0.99)


def refit_(
    batches: Minibatches,
    steps: int,
    rate: float,
    generator: torch.Generator,
    stop: Callable[[], bool],
    teacher: nn.Module | None = None,
) -> None:
    """Move the weights that are not zero by ``steps`` steps, whose size falls to 0 on half a cosine.

    Args:
        batches: the loss and the parameters that are written to.
        steps: of one minibatch each.
        rate: the first steps' size, as a share of the root mean square of a tensor's weights that are not zero: so
            that one number serves models and tensors of any scale.
        generator: draws the minibatches; on the CPU.
        stop: asked before each step; True ends the refit where it is.
        teacher: the network as it was given, which is learned from too (distillation.py).
    """
    parameters = list(batches.parameters.values())
    with torch.no_grad():
        live = [p != 0 for p in parameters]
        sizes = [
            float((p.square().sum() / mask.sum().clamp_min(1)).sqrt()) for p, mask in zip(parameters, live, strict=True)
        ]
    optimizer = torch.optim.Adam([{"params": [p], "lr": 0.0} for p in parameters], betas=BETAS)
    for step, gradients in enumerate(batches.gradients(steps, generator, teacher)):
        if stop():
            break
        falling = 0.5 * (1 + math.cos(math.pi * step / steps))
        for p, gradient, mask, size, group in zip(
            parameters, gradients, live, sizes, optimizer.param_groups, strict=True
        ):
            p.grad, group["lr"] = gradient.mul_(mask), rate * size * falling
        optimizer.step()
    for p in parameters:
        p.grad = None
