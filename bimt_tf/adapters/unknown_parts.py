"""What a model has that is not wired, said by the names of the parameters that nobody knows."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["what_is_missing"]

_KINDS = (
    (r"attn_hc|mlp_hc", "hyper-connections, several residual streams that mix"),
    (r"time_mix|time_decay", "RWKV's mixing over time"),
    (r"linear_attn", "linear attention, whose state mixes neurons"),
    (r"A_log|\bmixer\.|dt_bias|\bmamba", "a state-space block (Mamba), whose state mixes neurons"),
    (r"attn\.(.*\.)?(kv|experts)\.", "an attention made of experts"),
    (r"q_global\.", "attention over windows beside a global one (Longformer)"),
    (r"attn\.(gate|g_proj)\.", "a gate beside attention"),
    (r"experts?[._]", "experts of a class that was not tried"),
    (r"temporal_block|rg_lru", "a recurrent block (Griffin), whose state mixes neurons"),
    (
        r"patch_embed|cls_token|vision|visual|vqmodel|image|audio|projector|feature_extractor|feature_projection",
        "an encoder of images or sound",
    ),
    (r"^(encoder|decoder)|cross_attn|SelfAttention", "parts of an encoder or a decoder that plain ones lack"),
    (r"attn\.c_attn\.", "q, k and v in one projection that nothing splits"),
    (r"^[LH]_blocks", "two stacks of blocks that take turns"),
)


def what_is_missing(names: Sequence[str]) -> str:
    """A remark in brackets for the first kind that a name shows, "" where none does."""
    found = next((what for pattern, what in _KINDS if any(re.search(pattern, name) for name in names)), "")
    return f" ({found}: not wired)" if found else ""
