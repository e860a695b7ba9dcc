"""Arrays of numbers as JSON: base64 of their little-endian bytes, exact and small. The page decodes them (bytes.js)."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["CHARACTERS", "base64_of", "matrix", "numbers", "packed"]

CHARACTERS = 16 / 3
"""Characters that one number takes in :func:`packed`."""
TYPES = {"f": {4: "f4", 8: "f8"}, "i": {4: "i4", 8: "i4"}}
"""Kind and bytes of a number -> how the page holds it; whole numbers are tokens, classes and places, all below 2^31."""
DENSE = 0.5
"""Share of entries other than zero from which on all are written, instead of each with its place."""


def base64_of(values: Tensor, dtype: str) -> str:
    """The bytes of a tensor's numbers, its last dimension running fastest.

    Args:
        values: of any shape.
        dtype: what the numbers are converted to, as NumPy names it, such as "f4" or "u1".
    """
    array = np.ascontiguousarray(values.detach().cpu().numpy(), dtype=f"<{dtype}")
    return base64.b64encode(array.tobytes()).decode()


def packed(values: Tensor) -> str:
    """The numbers of a tensor, rounded to 32-bit floats, for a reader who knows its shape."""
    return base64_of(values, "f4")


def numbers(values: Tensor) -> dict[str, Any]:
    """Any tensor of numbers: ``shape``, ``type`` ("f4", "f8" or "i4") and ``data``, base64."""
    if values.is_floating_point() and values.element_size() < 4:
        values = values.float()
    kind = TYPES["f" if values.is_floating_point() else "i"][values.element_size()]
    return {"shape": list(values.shape), "type": kind, "data": base64_of(values, kind)}


def matrix(weight: Tensor) -> dict[str, Any]:
    """A weight [from, to], of which the page multiplies the entries that are not zero.

    ``shape``; ``values`` as :func:`numbers`, and ``at``, their places in the flat matrix, or None where all are there.
    """
    flat = weight.detach().flatten()
    at = flat.nonzero().squeeze(1)
    shape = list(weight.shape)
    if len(at) >= DENSE * len(flat):
        return {"shape": shape, "values": numbers(flat), "at": None}
    return {"shape": shape, "values": numbers(flat[at]), "at": numbers(at)}
