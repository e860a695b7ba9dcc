"""Weights that are exactly zero, kept at zero: an optimizer's momentum or decay would bring them back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Zeros"]


class Zeros:
    """The exact zeros of some parameters as they are now.

    Args:
        parameters: by name; nothing of them is changed here.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._free = {name: (p != 0).to(p.dtype) for name, p in parameters.items()}

    @torch.no_grad()
    def keep_(self, parameters: Mapping[str, Tensor]) -> None:
        """Set those entries of the same parameters to zero again, in place."""
        own = list(self._free)
        if not own:
            return
        torch._foreach_mul_([parameters[name] for name in own], [self._free[name] for name in own])
