"""What a probe regresses, checked and scaled: its target, numbers or classes, and the neurons that vary."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from bimt_tf.errors import InputError, require_known

__all__ = ["FEWEST", "Kind", "Target", "checked_target", "varying_neurons", "within_one"]

Kind = Literal["numbers", "classes"]

FEWEST = 20
"""The fewest examples of a probe, and the fewest distinct inputs: with less, a held-out score is mostly noise."""
MOST_CLASSES = 64
"""Distinct whole numbers up to which a target is taken for classes, unless it is said what it is."""
EXAMPLES_A_CLASS = 5
"""Examples of each class, on average, from which on whole numbers are taken for classes."""


class Target(NamedTuple):
    """What is looked for in each example.

    ``columns`` [n, 1] holds the numbers, or [n, classes] a one in the column of the example's class; ``values`` are
    the numbers as given, centred and scaled. ``chance``: of classes, the share of the most frequent one, which is the
    accuracy of who always says it; None of numbers.
    """

    kind: Kind
    columns: Float[np.ndarray, "n columns"]
    values: Float[np.ndarray, " n"]
    chance: float | None


def checked_target(target: Any, examples: int, kind: Kind | None = None) -> Target:
    """The target as finite numbers that are not all equal, within -1 and 1 (R2 knows no scale), or as classes.

    Unless ``kind`` says so, booleans and whole numbers are classes if they are at most MOST_CLASSES different ones,
    each in EXAMPLES_A_CLASS examples on average.

    Raises:
        InputError: for a target that is no such row of numbers, fewer examples than FEWEST, or another kind.
    """
    y = _numbers(target, examples)
    classes, number = np.unique(y, return_inverse=True)
    if kind is None:
        whole = len(classes) <= min(MOST_CLASSES, examples / EXAMPLES_A_CLASS) and bool((y == np.round(y)).all())
        kind = "classes" if whole else "numbers"
    require_known("kind of target", kind, ("numbers", "classes"))
    values = within_one(y)
    values = within_one(values - values.mean())
    if kind == "numbers":
        return Target("numbers", values[:, None], values, None)
    if len(classes) > examples / 2:
        raise InputError(
            f"target has {len(classes)} classes in {examples} examples: too many to learn; are it numbers?"
        )
    columns = np.eye(len(classes))[number]
    return Target("classes", columns, values, float(columns.mean(0).max()))


def _numbers(target: Any, examples: int) -> Float[np.ndarray, " examples"]:
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
    return y


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
