"""What a probe regresses, checked and scaled: its target, and the neurons that vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.errors import InputError

__all__ = ["FEWEST", "checked_target", "varying_neurons", "within_one"]

FEWEST = 20
"""The fewest examples of a probe: with less, a held-out R2 is mostly noise."""


def checked_target(target: Tensor | np.ndarray | Sequence[float], examples: int) -> Float[np.ndarray, " examples"]:
    """The target as numbers that are finite, not all equal, and within -1 and 1 (R2 knows no scale).

    Raises:
        InputError: for a target that is no such row of numbers, or fewer examples than FEWEST.
    """
    try:
        values = torch.as_tensor(target).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"target must be numbers, one an input, found a {type(target).__name__}") from error
    if values.ndim != 1 or len(values) != examples:
        raise InputError(f"target must have shape [{examples}], one number an input, found {list(values.shape)}")
    if values.is_complex():
        raise InputError("target must hold real numbers, found complex ones; probe the real or the imaginary part")
    if examples < FEWEST:
        raise InputError(f"a probe needs at least {FEWEST} examples, found {examples}")
    y: np.ndarray = values.double().numpy()
    if not np.isfinite(y).all():
        raise InputError(f"target holds {int((~np.isfinite(y)).sum())} NaN or infinite value(s)")
    if np.ptp(y) == 0:
        raise InputError(f"target is constant ({y[0]:g}): there is nothing to decode")
    return within_one(y)


def within_one(values: np.ndarray) -> np.ndarray:
    """Numbers divided by a power of two, so that none exceeds 1: rounding stays as it is, and no square overflows."""
    _, exponent = np.frexp(np.abs(values).max(initial=0.0))
    scaled: np.ndarray = np.ldexp(values, -exponent)
    return scaled


def varying_neurons(x: Float[np.ndarray, "n neurons"], rounding: float, threshold: float) -> list[int]:
    """The neurons whose standard deviation exceeds ``threshold`` times the largest, and four roundings."""
    std = x.std(axis=0, ddof=1)
    found: list[int] = np.flatnonzero(
        (std > threshold * std.max(initial=0.0)) & (std > 4 * rounding * np.abs(x).max(axis=0))
    ).tolist()
    return found
