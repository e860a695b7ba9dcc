"""A multilayer perceptron with hooks on every layer (paper, Section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import InputError
from bimt_tf.models.layers import HookedModel, check_weights, layer_sizes, linear_layers

__all__ = ["MLP", "MLPConfig"]


@dataclass(frozen=True)
class MLPConfig:
    """Layer sizes, input first; activation between layers, none after the last."""

    sizes: tuple[int, ...]
    act_fn: str
    dtype: torch.dtype
    seed: int


class MLP(HookedModel):
    """Linear layers ``layers.{i}`` with an activation between them and hooks ``layers.{i}.hook_pre/hook_post``.

    Args:
        sizes: neurons of each layer, input and output included; at least two numbers.
        act_fn: "silu", "relu", "gelu_new" or "identity".
        seed: of the initial weights, which are nn.Linear's; the same in every dtype and on every device.
        dtype: of the weights.
        device: of the weights.

    Raises:
        InputError: for sizes that are not whole numbers of at least 1, an unknown ``act_fn``, a seed that
            is none, a ``dtype`` of other than floating-point numbers, or a device that is not there.
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
        check_weights(seed, dtype, device)
        checked = layer_sizes(sizes, "an input and an output size", at_least=2)
        self.cfg = MLPConfig(checked, act_fn, dtype, seed)
        self.hook_input = HookPoint()
        self.layers = linear_layers(checked, act_fn, dtype, torch.Generator().manual_seed(seed))
        self.to(device)
        self.setup()

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The network's output for a batch of inputs; raises InputError for inputs of another width."""
        if x.shape[-1] != self.cfg.sizes[0]:
            raise InputError(f"input must be [..., {self.cfg.sizes[0]}], found {list(x.shape)}")
        x = self.hook_input(x)
        for layer in self.layers:
            x = layer(x)
        return x
