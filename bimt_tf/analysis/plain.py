"""Results as what JSON knows: numbers, words, lists and dicts. No torch at import."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """NamedTuples and mappings as dicts, sequences, sets, arrays and tensors as lists; NaN and infinity as None.

    Keys become words, "node, neuron" of a tuple. What is none of these is said as ``str`` says it.
    """
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {_word(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _word(key: Any) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
