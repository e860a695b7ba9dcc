"""What in a bridge is known to rely on no population's order, or only on what the wiring holds in place anyway.

Everything else that is no wired parameter is judged by its shape (core/review.py), so this list may be short: a buffer
that it lacks holds a population in place, and moves no output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bimt_tf.core.model_tree import Held

__all__ = ["free_of_order"]

_ROTATIONS = re.compile(r"(^|[._])(inv_freq|cos_cached|sin_cached)$")
"""Speeds of rotation, a pair of q/k dimensions each: the rotated dimensions are pinned (bridge.py)."""

_TABLES = re.compile(r"^blocks\.\d+\.attn\.(.*\.)?embed_positions$")
"""The same as a table, in GPT-J and CodeGen."""

_POSITIONS = re.compile(r"(^|\.)(position_ids|token_type_ids)$")
_MASKS = re.compile(r"(^|[._])(mask|bias|masked_bias|causal_mask)$")


def free_of_order(tensors: Iterable[Held]) -> Iterator[str]:
    """The names of buffers of rotations, positions, and masks of positions by positions."""
    for one in tensors:
        if one.kind == "parameter":
            continue
        if any(kind.search(one.name) for kind in (_ROTATIONS, _TABLES, _POSITIONS)) or _is_mask(one):
            yield one.name


def _is_mask(one: Held) -> bool:
    """Whether it says of each two positions whether one sees the other: square, and yes or no."""
    tensor = one.tensor
    square = tensor.ndim >= 2 and tensor.shape[-1] == tensor.shape[-2]
    return bool(_MASKS.search(one.name)) and square and (tensor.is_meta or bool(((tensor == 0) | (tensor == 1)).all()))
