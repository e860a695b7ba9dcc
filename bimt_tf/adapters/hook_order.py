"""Which hook a network computes before which: the stage before, that a probe compares itself with."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["stage_before"]

_STREAM = re.compile(r"(.*\.)?hook_(embed|resid_\w+)")
_READS_THE_STREAM = re.compile(r".*\.(hook_(q|k|v)|hook_q_input|hook_k_input|hook_v_input)")


def stage_before(hook: str, order: Sequence[str]) -> str | None:
    """The hook whose activations a hook's are computed from, at the same token; None for the first.

    It is the one before in ``order``, with two exceptions. A stage of the residual stream is what the stream was before
    plus what a block adds, so the stage before it is the stream's last one. Queries, keys and values all read the
    stream, so what stands before a key is not the query, which is merely computed first.

    Args:
        hook: one of ``order``.
        order: the hooks that hold neurons, in the order in which the model computes them.
    """
    earlier = list(order[: order.index(hook)])
    if _STREAM.fullmatch(hook) or _READS_THE_STREAM.fullmatch(hook):
        earlier = [name for name in earlier if _STREAM.fullmatch(name)] or earlier
    return earlier[-1] if earlier else None
