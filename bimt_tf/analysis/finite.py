"""The number that a function of the user's gives, where an analysis cannot go on without one."""

from __future__ import annotations

import math

from bimt_tf.errors import InputError

__all__ = ["finite_number"]


def finite_number(found: object, what: str, when: str) -> float:
    """``found`` as a float.

    Args:
        found: what the function gave: a number, or a tensor of one.
        what: the function's name, for the error.
        when: what it was called on, for the error, such as "without ablation".

    Raises:
        InputError: if it is no number, or NaN or infinite.
    """
    try:
        number = float(found)  # type: ignore[arg-type]  # anything may come
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} must give a number, found a {type(found).__name__}") from error
    if not math.isfinite(number):
        raise InputError(f"{what} gives {number} {when}: the targets or the model's outputs leave it undefined")
    return number
