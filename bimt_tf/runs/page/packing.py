"""Numbers for the page in few characters: 32-bit floats, little end first, in base64. The page decodes them."""

from __future__ import annotations

import base64

import numpy as np
from torch import Tensor

__all__ = ["BYTES", "packed"]

BYTES = 16 / 3
"""Characters that one packed number takes."""


def packed(values: Tensor) -> str:
    """The numbers of a tensor, its last dimension running fastest.

    Args:
        values: of any shape; numbers of other kinds are rounded to 32-bit floats.
    """
    return base64.b64encode(np.ascontiguousarray(values.detach().cpu().numpy(), dtype="<f4").tobytes()).decode()
