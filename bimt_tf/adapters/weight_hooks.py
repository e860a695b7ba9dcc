"""Between which two hooks each weight of a model acts: target += weight * source, before any activation function.

Known for models without norms (MLP, TokenMLP, RegressionTransformer without one), where a weight reads what a hook
shows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import nn

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.core.wiring import Wiring

__all__ = ["Ends", "weight_hooks"]

_TARGETS = {
    "attn.W_Q": "attn.hook_q", "attn.W_K": "attn.hook_k", "attn.W_V": "attn.hook_v", "attn.W_O": "hook_attn_out",
    "mlp.W_in": "mlp.hook_pre", "mlp.W_out": "hook_mlp_out",
}  # fmt: skip


class Ends(NamedTuple):
    """The hook whose activations a weight reads, and that whose activations it adds to; None: the model's own end."""

    source: str | None
    target: str | None


def weight_hooks(model: nn.Module, wiring: Wiring) -> dict[str, Ends]:
    """Parameter of a connection -> its two hooks, of a model of one of these kinds."""
    hooks = stage_hooks(model, wiring)
    return {c.parameter: Ends(hooks.get(c.source.name), _target(c.parameter)) for c in wiring.connections}


def _target(parameter: str) -> str | None:
    if parameter == "embed.W_E":
        return "hook_embed"
    if found := re.fullmatch(r"(layers\.\d+)\.weight", parameter):
        return f"{found[1]}.hook_pre"
    if found := re.fullmatch(r"(blocks\.\d+)\.(.+)", parameter):
        return f"{found[1]}.{_TARGETS[found[2]]}"
    return None
