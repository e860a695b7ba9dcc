"""Networks built by hand whose modules are known."""

from __future__ import annotations

import torch

from bimt_tf.bimt import BIMT
from bimt_tf.models.mlp import MLP


def empty(sizes, act_fn="identity") -> BIMT:
    """An MLP whose weights and biases are all zero."""
    model = MLP(sizes, act_fn=act_fn, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return BIMT(model)


def join(bimt: BIMT, layer: int, *pairs: tuple[int, int], weight: float = 1.0) -> None:
    """Set weights of a layer: (source, target) pairs."""
    with torch.no_grad():
        for source, target in pairs:
            bimt.model.get_parameter(f"layers.{layer}.weight")[target, source] = weight


def two_blocks(bridge: float = 0.05) -> BIMT:
    """Inputs 0, 1 feed hidden 0-2 and output 0; inputs 2, 3 feed hidden 3-5 and output 1; one weight joins the two.

    Every output is the sum of its block's inputs, times 3, before the bridge from input 0 to hidden 3.
    """
    made = empty([4, 6, 2])
    join(made, 0, *((i, j) for i in (0, 1) for j in (0, 1, 2)))
    join(made, 0, *((i, j) for i in (2, 3) for j in (3, 4, 5)))
    join(made, 1, *((j, 0) for j in (0, 1, 2)), *((j, 1) for j in (3, 4, 5)))
    join(made, 0, (0, 3), weight=bridge)
    return made


def noise(sizes, density: float, seed: int) -> BIMT:
    """Normal weights, each there with the same chance: no structure but the layers."""
    made = empty(sizes)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if name.endswith("weight"):
                there = torch.rand(parameter.shape, generator=generator) < density
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * there)
    return made
