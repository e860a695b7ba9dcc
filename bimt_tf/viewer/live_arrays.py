"""Arrays of numbers as JSON: base64 of their little-endian bytes, exact and small."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["matrix", "nonzero", "numbers"]

TYPES = {"f": {4: "f4", 8: "f8"}, "i": {4: "i4", 8: "i4"}}
"""Kind and bytes of a number -> how the page holds it; whole numbers are tokens, classes and places, all below 2^31."""
DENSE = 0.5
"""Share of entries other than zero from which on all are written, instead of each with its place."""


def numbers(values: Tensor) -> dict[str, Any]:
    """Any tensor of numbers: ``shape``, ``type`` ("f4", "f8" or "i4") and ``data``, base64."""
    array = (
        (values.float() if values.is_floating_point() and values.element_size() < 4 else values).detach().cpu().numpy()
    )
    kind = TYPES[array.dtype.kind][array.dtype.itemsize]
    data = base64.b64encode(np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()).decode()
    return {"shape": list(array.shape), "type": kind, "data": data}


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


def nonzero(weight: Tensor) -> int:
    """How many entries are not zero."""
    return int(torch.count_nonzero(weight))
