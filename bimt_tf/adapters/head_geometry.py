"""How many heads of what width each block of a bridge has, read from its modules.

One ``cfg.d_head`` does not do: Gemma 4's global layers have wider heads than its sliding ones, and where the query
projection also writes a gate (Qwen 3.5) its width is no count of heads. So the attention module's own ``head_dim`` is
asked first, and q, k, v and o must agree with each other; what does not is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from bimt_tf.errors import InputError

__all__ = ["HeadGeometry", "geometry", "width"]

_SIZES = ("head_dim", "head_size", "attention_head_size", "d_head", "d_kv")


class HeadGeometry(NamedTuple):
    """Query heads, key-value heads (both 1 without attention), and the q/k dimensions of a head."""

    queries: int
    keys: int
    size: int


def width(home: tuple[nn.Module, str], reads: bool = False) -> int:
    """Features that a linear layer writes, or ``reads``."""
    weight = getattr(*home)
    return int(weight.shape[(0 if isinstance(home[0], nn.Linear) else -1) - (1 if reads else 0)])


def geometry(attention: str, bridge: Any, at: Mapping[str, tuple[nn.Module, str]]) -> HeadGeometry:
    """The heads of one attention.

    Args:
        attention: its path, ``blocks.{i}.attn``.
        bridge: the TransformerBridge.
        at: parameter -> the module that holds it, and under what name.

    Raises:
        InputError: where the widths of q, k, v and o do not fit one another.
    """
    found = {x: at[f"{attention}.{x}.weight"] for x in "qkvo" if f"{attention}.{x}.weight" in at}
    size = _head_size(attention, bridge)
    if not found:
        return HeadGeometry(1, 1, size)
    if missing := [x for x in "qkvo" if x not in found]:
        raise InputError(
            f"{attention} has weights for {', '.join(found)} and none for {', '.join(missing)}: keys or values that "
            f"come from elsewhere (another layer, one projection for both) are not wired; {_advice(attention)}"
        )
    q, k, v = (width(found[x]) for x in "qkv")
    z = width(found["o"], reads=True)
    if q % size or k % size:
        raise InputError(f"{attention}: q and k write {[q, k]} features, which are no whole heads of {size}")
    heads = HeadGeometry(q // size, k // size, size)
    if v % heads.keys or z != heads.queries * (v // heads.keys):
        raise InputError(
            f"{attention}: q writes {q} features, k {k}, v {v} and o reads {z}: with heads of {size} these do not "
            f"belong together (a gate beside the queries?), and they are not wired; {_advice(attention)}"
        )
    return heads


def _advice(attention: str) -> str:
    every = re.sub(r"\.\d+\.", ".*.", attention)
    return f"leave this attention out, wire(model, left_out=['{attention}']), or all, left_out=['{every}']"


def _head_size(attention: str, bridge: Any) -> int:
    """The q/k dimensions of a head: the attention module's, or else the config's."""
    component = bridge
    for part in attention.split("."):
        component = getattr(component, part, None)
    module = getattr(component, "_modules", {}).get("_original_component")
    sizes = [size for name in _SIZES if isinstance(size := getattr(module, name, None), int) and size > 0]
    return sizes[0] if sizes else int(bridge.cfg.d_head)
