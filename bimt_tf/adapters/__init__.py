"""Adapters: the only place that knows how families of models name their parameters.

Each family is one file with ``matches(model)`` and ``wiring(model)``; adding one is adding its name below.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from bimt_tf.adapters import mlp, token_mlp, transformer_lens
from bimt_tf.errors import InputError
from bimt_tf.wiring import Wiring

__all__ = ["wire"]

FAMILIES = (transformer_lens, mlp, token_mlp)


def wire(model: nn.Module, fixed: Iterable[str] = ()) -> Wiring:
    """The wiring of a known model: TransformerLens parameter names (own models and TL 2/3), MLP, TokenMLP,
    nn.Sequential.

    Args:
        model: the module to wire.
        fixed: populations whose neurons keep their slots, e.g. ``("input", "output")``.

    Raises:
        InputError: when no family knows the model, or it has a parameter that its family does not name;
            ``Wiring.from_table`` wires anything else.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"wire takes a torch.nn.Module, found {type(model).__name__}")
    for family in FAMILIES:
        if family.matches(model):
            return family.wiring(model).fixing(fixed)
    rows = ", ".join(f"{n!r}: '{' '.join('?' * p.ndim)}'" for n, p in model.named_parameters())
    raise InputError(
        f"no adapter knows a {type(model).__name__}; wire it with Wiring.from_table({{{rows}}}, model), a word an axis"
    )
