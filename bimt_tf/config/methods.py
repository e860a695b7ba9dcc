"""The methods by which a network is made sparse, named here and nowhere else: the paper's five, and two of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METHODS", "PAPER_METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """Whether weights pay, whether by length, whether neurons move; or which other way weights come to be zero.

    ``leaves``: a method without a penalty that leaves a share of the weights (``training.density``): "magnitude" prunes
    and rewinds (training/magnitude.py), "topk" keeps the largest after every step (training/topk.py).
    """

    penalised: bool = False
    local: bool = False
    swaps: bool = False
    leaves: Literal["magnitude", "topk"] | None = None


METHODS = {
    "vanilla": Method(),
    "l1": Method(penalised=True),
    "l1-local": Method(penalised=True, local=True),
    "l1-swap": Method(penalised=True, swaps=True),
    "bimt": Method(penalised=True, local=True, swaps=True),
    "magnitude": Method(leaves="magnitude"),
    "topk": Method(leaves="topk"),
}

PAPER_METHODS = tuple(name for name, method in METHODS.items() if method.leaves is None)
"""Those of the paper's comparison."""
