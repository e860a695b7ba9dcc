"""What both models share: the named activations, seeded initial weights, the checks of sizes, caching."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformer_lens import ActivationCache, HookedRootModule

from bimt_tf.errors import InputError, unknown

__all__ = ["ACTIVATIONS", "activation", "normal_", "uniform_", "whole", "HookedModel"]


def _gelu_new(x: Tensor) -> Tensor:  # named functions, as lambdas do not pickle
    return F.gelu(x, approximate="tanh")


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": _gelu_new,
    "relu": F.relu,
    "silu": F.silu,
    "identity": _identity,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of this name; raises InputError listing the known ones."""
    if name not in ACTIVATIONS:
        raise unknown("act_fn", str(name), ACTIVATIONS)
    return ACTIVATIONS[name]


def whole(name: str, value: Any) -> int:
    """``value`` if it is a whole number of at least 1; else InputError naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, found {value!r}")
    return value


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
