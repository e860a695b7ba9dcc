"""Which hook shows the neurons of a stage, for every model whose wiring is made from names.

The neurons of a stage are a circuit's nodes; probes and interventions address them through hooks. Inputs of a
transformer, and outputs, which nothing reads on, have none; a value neuron is shown where the head's output is mixed
(``hook_z``), as W_O reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from bimt_tf.core.wiring import Wiring

__all__ = ["neuron_name", "place_names", "stage_hooks", "written_into"]

_OF_A_BLOCK = {"q": "attn.hook_q", "k": "attn.hook_k", "v": "attn.hook_z", "mlp": "mlp.hook_post"}


def stage_hooks(model: nn.Module, wiring: Wiring) -> dict[str, str]:
    """Stage -> the hook whose activations are its neurons, in the neurons' own order; stages without one are left out.

    Args:
        model: the model, with hooks by TransformerLens's names (``hook_dict``).
        wiring: its wiring.
    """
    known: Mapping[str, Any] = getattr(model, "hook_dict", {})
    found = {stage.name: _hook(stage.name, wiring) for stage in wiring.stages}
    return {stage: hook for stage, hook in found.items() if hook in known}


def place_names(model: nn.Module, wiring: Wiring) -> dict[str, str]:
    """Stage or population -> the hooks that show its neurons, as tables name them: ``blocks.0.mlp.hook_post``.

    Queries and keys, which share an order, have two; a population of more hooks, as a shared residual stream, or of
    none, as inputs, is not named here and keeps its own name.
    """
    hooks = stage_hooks(model, wiring)
    shared: dict[str, list[str]] = {}
    for stage in wiring.stages:
        if stage.name in hooks:
            shared.setdefault(stage.population, []).append(hooks[stage.name])
    few = {name: " and ".join(found) for name, found in shared.items() if len(found) <= 2}
    return few | hooks


def written_into(hook: str) -> str:
    """The hook of the same neurons as weights write them: values before their head mixes them, all others the same."""
    return hook.replace("attn.hook_z", "attn.hook_v")


def neuron_name(where: str, neuron: int, own: str | None = None, token: int | None = None) -> str:
    """What a neuron is called in tables, answers and pages: ``blocks.0.hook_resid_post[9]``, ``input[1] (y1)``.

    Args:
        where: the hook whose activations it is one of, in TransformerLens's spelling; its stage where there is none.
        neuron: its index there; heads lie end to end.
        own: its own name, if it has one.
        token: whose it is, where it matters.
    """
    at = "" if token is None else f" at token {token}"
    return f"{where}[{neuron}]{at}" + (f" ({own})" if own else "")


def _hook(stage: str, wiring: Wiring) -> str:
    """The name that the hook of a stage has, if the model has one."""
    if found := re.fullmatch(r"(blocks\.\d+)\.(q|k|v|mlp)", stage):
        return f"{found[1]}.{_OF_A_BLOCK[found[2]]}"
    if found := re.fullmatch(r"Res(\d+)", stage):
        return _residual(stage, wiring)
    if found := re.fullmatch(r"hidden(\d+)", stage):
        return f"layers.{found[1]}.hook_post"
    if stage == "output":
        hidden = [one for one in wiring.stages if one.name.startswith("hidden")]
        return f"layers.{len(hidden)}.hook_post"
    return f"hook_{stage}"


def _residual(stage: str, wiring: Wiring) -> str:
    """A stage of the residual stream: that before a block, between its attention and its MLP, or behind it.

    The block is that of the nearest stage before it; an attention writes the middle, an MLP what is behind.
    """
    depth = next(one.depth for one in wiring.stages if one.name == stage)
    earlier = [one for one in wiring.stages if one.depth < depth and one.name.startswith("blocks.")]
    if not earlier:
        return "blocks.0.hook_resid_pre"
    last = max(earlier, key=lambda one: one.depth).name
    block, _, kind = last.rpartition(".")
    feeds = ("mlp", "experts", "shared")
    has_mlp = any(one.name in {f"{block}.{x}" for x in feeds} for one in wiring.stages)
    return f"{block}.hook_resid_{'mid' if kind not in feeds and has_mlp else 'post'}"
