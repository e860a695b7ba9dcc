"""What a compact model is made from: the values that stay, and which entries of the whole parameters they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

__all__ = ["Plan", "columns_used", "rows_used", "smaller"]

Module = TypeVar("Module", bound=nn.Module)


class Plan(NamedTuple):
    """Population -> its neurons that stay; parameter -> its new values, and their places in the flat old parameter."""

    kept: dict[str, Int64[Tensor, " neurons"]]
    values: dict[str, Tensor]
    entries: dict[str, Int64[Tensor, "..."]]

    def take(self, name: str, whole: Tensor, *index: Tensor) -> None:
        """Let the entries ``whole[index]`` of a parameter stay; ``index`` broadcasts, as indices of a tensor do."""
        places = torch.arange(whole.numel(), device=whole.device).view(whole.shape)
        self.values[name], self.entries[name] = whole[index], places[index]


def rows_used(weight: Float[Tensor, "rows columns"]) -> Bool[Tensor, " rows"]:
    """Which rows hold a weight other than zero."""
    return (weight != 0).any(1)


def columns_used(weight: Float[Tensor, "rows columns"]) -> Bool[Tensor, " columns"]:
    """Which columns hold a weight other than zero."""
    return (weight != 0).any(0)


def smaller(model: Module, values: Mapping[str, Tensor]) -> Module:
    """A copy of ``model`` whose parameters are ``values``, of whatever shapes they have."""
    made = copy.deepcopy(model)
    for name, old in list(made.named_parameters()):
        path, _, own = name.rpartition(".")
        new = nn.Parameter(values[name].to(old).contiguous(), requires_grad=old.requires_grad)
        setattr(made.get_submodule(path), own, new)
    return made
