"""A multilayer perceptron with hooks on every layer (paper, Section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import InputError
from bimt_tf.models.parts import HookedModel, activation, uniform_, whole

__all__ = ["MLP", "MLPConfig", "linear_layers"]


@dataclass(frozen=True)
class MLPConfig:
    """Layer sizes, input first; activation between layers, none after the last."""

    sizes: tuple[int, ...]
    act_fn: str
    dtype: torch.dtype
    seed: int


class HookedLinear(nn.Linear):
    """nn.Linear whose output passes ``hook_pre`` and, activated, ``hook_post``."""

    def __init__(self, d_in: int, d_out: int, act_fn: str, dtype: torch.dtype) -> None:
        super().__init__(d_in, d_out, dtype=dtype)
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.act_fn = activation(act_fn)

    def forward(self, input: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Activation of the affine map, through the hooks."""
        return self.hook_post(self.act_fn(self.hook_pre(super().forward(input))))


def linear_layers(sizes: Sequence[int], act_fn: str, dtype: torch.dtype, generator: torch.Generator) -> nn.ModuleList:
    """Layers from each size to the next, with nn.Linear's initial weights; the activation follows all but the last."""
    acts = [act_fn] * (len(sizes) - 2) + ["identity"]
    activation(act_fn)
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws its own first weights, which ours replace
        layers = [
            HookedLinear(d_in, d_out, act, dtype) for (d_in, d_out), act in zip(pairwise(sizes), acts, strict=True)
        ]
    for layer in layers:
        uniform_(layer.weight, layer.in_features, generator)
        uniform_(layer.bias, layer.in_features, generator)
    return nn.ModuleList(layers)


class MLP(HookedModel):
    """Linear layers ``layers.{i}`` with an activation between them and hooks ``layers.{i}.hook_pre/hook_post``.

    Args:
        sizes: neurons of each layer, input and output included; at least two numbers.
        act_fn: "silu", "relu", "gelu_new" or "identity".
        seed: of the initial weights, which are nn.Linear's; the same in every dtype and on every device.
        dtype: of the weights.
        device: of the weights.

    Raises:
        InputError: for sizes that are not whole numbers of at least 1, or an unknown ``act_fn``.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        act_fn: str = "silu",
        seed: int = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise InputError(f"sizes must hold at least an input and an output size, found {list(sizes)}")
        checked = tuple(whole(f"sizes[{i}]", size) for i, size in enumerate(sizes))
        self.cfg = MLPConfig(checked, act_fn, dtype, seed)
        self.hook_input = HookPoint()
        self.layers = linear_layers(checked, act_fn, dtype, torch.Generator().manual_seed(seed))
        self.to(device)
        self.setup()

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The network's output for a batch of inputs."""
        if x.shape[-1] != self.cfg.sizes[0]:
            raise InputError(f"input must be [..., {self.cfg.sizes[0]}], found {list(x.shape)}")
        x = self.hook_input(x)
        for layer in self.layers:
            x = layer(x)
        return x
