"""Which family a model is of, and so its wiring, and its parameters by the wiring's names.

Each family is one file with ``matches(model)`` and ``wiring(model)``; adding one is adding its name to FAMILIES.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from bimt_tf.adapters import bridge, mlp, token_mlp, transformer_lens
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["FAMILIES", "homes", "parameters", "wire"]

FAMILIES = (bridge, transformer_lens, mlp, token_mlp)
PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def wire(model: nn.Module, fixed: Iterable[str] = ()) -> Wiring:
    """The wiring of a known model.

    Known are TransformerBridge (``boot_native``, ``boot_transformers``, ``build_bridge_from_module``), models with
    TransformerLens 2/3 parameter names (RegressionTransformer among them), MLP, TokenMLP and nn.Sequential;
    docs/architectures.md lists the architectures that were tried.

    Args:
        model: the module to wire.
        fixed: populations whose neurons keep their slots, e.g. ``("input", "output")``.

    Raises:
        InputError: when no family knows the model, or it has a parameter that its family does not name (the message
            holds a table to start from: ``Wiring.from_table`` wires anything else); when parameters are on the meta
            device or quantised; for a bridge with processed weights.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"wire takes a torch.nn.Module, found {type(model).__name__}")
    for name, p in parameters(model).items():
        if p.is_meta:
            raise InputError(f"parameter {name!r} is on the meta device and holds no numbers: load the weights first")
        if p.dtype not in PRECISIONS:
            raise InputError(
                f"parameter {name!r} is {str(p.dtype).removeprefix('torch.')}: a quantised model cannot be trained; "
                "load it in float32, bfloat16 or float16"
            )
    for family in FAMILIES:
        if family.matches(model):
            return family.wiring(model).fixing(fixed)
    rows = ", ".join(f"{n!r}: '{' '.join('?' * p.ndim)}'" for n, p in model.named_parameters())
    raw = type(model).__module__.startswith("transformers.")
    hint = "put TransformerLens's bridge around it (build_bridge_from_module), or " if raw else ""
    raise InputError(
        f"no adapter knows a {type(model).__name__}; {hint}wire it with Wiring.from_table({{{rows}}}, model), "
        "a word an axis"
    )


def homes(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Parameter -> the module that holds it, and under what name there; each parameter once.

    Names are ``model.named_parameters()``'s, but for a TransformerBridge its components' (``blocks.0.attn.q.weight``).
    """
    if bridge.matches(model):
        return bridge.homes(model)
    found = {}
    for name, _ in model.named_parameters():
        path, _, own = name.rpartition(".")
        found[name] = (model.get_submodule(path), own)
    return found


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The model's parameters by the names that its wiring uses (:func:`homes`)."""
    return {name: getattr(module, own) for name, (module, own) in homes(model).items()}
