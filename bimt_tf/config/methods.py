"""The methods of the paper's comparison, named here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """One row of the paper's comparison: whether weights pay, whether by length, whether neurons move."""

    penalised: bool
    local: bool
    swaps: bool


METHODS = {
    "vanilla": Method(penalised=False, local=False, swaps=False),
    "l1": Method(penalised=True, local=False, swaps=False),
    "l1-local": Method(penalised=True, local=True, swaps=False),
    "l1-swap": Method(penalised=True, local=False, swaps=True),
    "bimt": Method(penalised=True, local=True, swaps=True),
}
