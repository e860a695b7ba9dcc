"""What the models share: named activations, seeded initial weights, checks of sizes, chains of layers, caching."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import InputError, require_kind, require_known, require_seed, require_whole, unknown
from bimt_tf.models.activation_names import ACT_FNS

__all__ = [
    "ACTIVATIONS", "HookedLinear", "HookedModel", "activation", "check_weights", "layer_sizes", "linear_layers",
    "normal_", "uniform_", "whole",
]  # fmt: skip


def _gelu_new(x: Tensor) -> Tensor:  # named functions, as lambdas do not pickle
    return F.gelu(x, approximate="tanh")


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = dict(
    zip(ACT_FNS, (_gelu_new, F.relu, F.silu, _identity), strict=True)
)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of this name; raises InputError listing the known ones."""
    require_known("act_fn", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def whole(name: str, value: int) -> int:
    """``value`` if it is a whole number of at least 1; else InputError naming it."""
    require_whole(name, value)
    return value


def check_weights(seed: int, dtype: torch.dtype, device: torch.device | str | None = None) -> None:
    """Raise InputError unless weights can be drawn with this seed, in this type of numbers, on this device."""
    require_seed(seed)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point or dtype.itemsize < 2:
        raise InputError(f"dtype must be that of floating-point numbers such as torch.float32, found {dtype!r}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch has all three for devices that are not there
        raise InputError(f"device {device!r} is not available here") from error


def layer_sizes(sizes: Sequence[Any], what: str, at_least: int) -> tuple[int, ...]:
    """``sizes`` checked: whole numbers of at least 1, and at least ``at_least`` of them, which ``what`` says in words.

    Raises:
        InputError: for other numbers, or fewer.
    """
    require_kind("sizes", sizes, Sequence)
    if len(sizes) < at_least:
        raise InputError(f"sizes must hold at least {what}, found {list(sizes)}")
    return tuple(whole(f"sizes[{i}]", size) for i, size in enumerate(sizes))


def uniform_(parameter: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """nn.Linear's initial distribution, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), in place.

    Drawn in float64 on the CPU, so that a seed gives the same weights in every dtype and on every device.
    """
    bound = 1 / math.sqrt(fan_in)
    draw = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        parameter.copy_(draw.mul_(2 * bound).sub_(bound))


def normal_(parameter: Tensor, generator: torch.Generator) -> None:
    """nn.Embedding's initial distribution, N(0, 1), in place; drawn as :func:`uniform_` draws."""
    draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        parameter.copy_(draw)


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


class HookedModel(HookedRootModule):
    """HookedRootModule whose ``run_with_cache`` gives an ActivationCache, as TransformerLens's models do."""

    def run_with_cache(
        self, *model_args: Any, return_cache_object: bool = True, remove_batch_dim: bool = False, **kwargs: Any
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """Run the model and keep its activations by hook name.

        Args:
            *model_args: what the model takes.
            return_cache_object: an ActivationCache (default) or a plain dict.
            remove_batch_dim: drop a batch dimension of 1 from the cached activations.
            **kwargs: as HookedRootModule.run_with_cache, e.g. ``names_filter``.

        Raises:
            InputError: for a ``names_filter`` that names a hook the model does not have.
        """
        names = kwargs.get("names_filter")
        for name in [names] if isinstance(names, str) else names if isinstance(names, list) else []:
            if name not in self.hook_dict:
                raise unknown("hook", name, self.hook_dict)
        out, cache = super().run_with_cache(*model_args, remove_batch_dim=remove_batch_dim, **kwargs)
        if not return_cache_object:
            return out, cache
        return out, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)
