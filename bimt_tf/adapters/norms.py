"""Which weights read the residual stream through a norm, and which write to it (docs/norms.md).

Behind a norm only the product of a reading weight and the norm's gain counts, and the scale of everything that writes
counts not at all. ``norms(model)`` says, by parameter name, whose gain each reading weight has and what writes.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from torch import nn

from bimt_tf.core.population import Connection
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["RESIDUAL", "Norms", "norms"]

RESIDUAL = "residual"
_WEIGHT = re.compile(r"\.(w|weight)$")
_READS = re.compile(r"^(blocks\.\d+\.)(attn|mlp)\.")
_STRANGE = re.compile(
    r"(^|\.)(ln\d_post|embed_ln|embed\.ln|[qk]_norm|mlp\.ln|\w+_(layer|sub_)norm|project_in)\b|\bexperts\b"
)


class Norms(NamedTuple):
    """By parameter name. ``gains``: reading weight -> the gain of its norm. ``writers`` add to the residual stream.

    ``final``: the last norm's gain and bias, where the table of tokens writes and is read as well (tied embeddings).
    """

    gains: dict[str, str]
    writers: tuple[str, ...]
    final: tuple[str, ...]


def norms(model: nn.Module, wiring: Wiring) -> Norms:
    """The norms of a transformer whose every layer, the unembedding included, reads the stream through one.

    Raises:
        InputError: for a model without norm, or with norms elsewhere (behind layers, on q and k, with an offset), for
            which scale is free in other places too.
    """
    cfg: Any = getattr(model, "cfg", None)
    wired = {w.parameter: w for w in (*wiring.connections, *wiring.attachments)}
    named = {*wired, *wiring.left_out}
    if RESIDUAL not in wiring.populations or getattr(cfg, "normalization_type", None) is None:
        raise InputError("this model's residual stream has no norm: its weights are effective as they are, norms as-is")
    strange = sorted(name for name in named if _STRANGE.search(name))
    if strange or getattr(cfg, "rmsnorm_uses_offset", False):
        what = f"{strange[0]!r}" if strange else "norms whose gain is 1 + w"
        raise InputError(f"effective weights are not defined for a model with {what}: take norms as-is")
    gain_of = {_WEIGHT.sub("", name): name for name in named if _WEIGHT.search(name) and _is_norm(name)}
    if gain_of and "ln_final" not in gain_of:
        raise InputError(
            "effective weights are not defined for a model whose last norm is not ln_final: take norms as-is"
        )
    gains, writers = {}, []
    for name, w in wired.items():
        ends = [stage.population for stage in w.stages]
        if RESIDUAL not in ends or _is_norm(name):
            continue
        reads = name.startswith("unembed.") or (isinstance(w, Connection) and w.source.population == RESIDUAL)
        if not reads:
            writers.append(name)
        elif (norm := _norm_before(name, named)) in gain_of:
            gains[name] = gain_of[norm]
    tied = not any(name in wired for name in ("unembed.weight", "unembed.W_U"))
    return Norms(gains, tuple(writers), tuple(n for n in named if tied and n.startswith("ln_final.")))


def _is_norm(name: str) -> bool:
    return re.search(r"(^|\.)ln\w*\.(w|b|weight|bias)$", name) is not None


def _norm_before(reader: str, named: set[str]) -> str:
    """The norm that a reading weight has before it; parallel blocks may share ln1."""
    found = _READS.match(reader)
    if found is None:
        return "ln_final"
    block, part = found.groups()
    second = any(name.startswith(f"{block}ln2.") for name in named)
    return f"{block}ln2" if part == "mlp" and second else f"{block}ln1"
