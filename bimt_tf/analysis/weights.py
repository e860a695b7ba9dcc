"""Single weights of a model set to zero for a while, and put back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import torch
from torch import Tensor

from bimt_tf.errors import InputError, unknown

__all__ = ["Weight", "checked_weights", "without"]

Weight = tuple[str, Sequence[int]]
"""A parameter's name, and the place of one of its entries: one number a dimension."""


def checked_weights(parameters: Mapping[str, Tensor], weights: Sequence[Weight]) -> list[tuple[str, tuple[int, ...]]]:
    """The weights with their places as tuples.

    Raises:
        InputError: for an unknown parameter (the near ones are listed), a place that it does not have, or a weight that
            is named twice.
    """
    found: list[tuple[str, tuple[int, ...]]] = []
    for weight in weights:
        name, place = _pair(weight)
        if name not in parameters:
            raise unknown("parameter", name, parameters)
        shape = tuple(parameters[name].shape)
        if len(place) != len(shape) or not all(0 <= i < n for i, n in zip(place, shape, strict=True)):
            last = [n - 1 for n in shape]
            raise InputError(f"parameter {name!r} has places {[0] * len(shape)} to {last}, found {list(place)}")
        if (name, place) in found:
            raise InputError(f"weight {list(place)} of {name!r} is named twice; name it once")
        found.append((name, place))
    return found


def _pair(weight: Any) -> tuple[str, tuple[int, ...]]:
    try:
        name, place = weight
        places = tuple(index(i) for i in place)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a weight is a parameter and a place such as ('embed.W_E', (0, 3)), found {weight!r}"
        ) from error
    return str(name), places


@contextmanager
def without(parameters: Mapping[str, Tensor], weights: Sequence[tuple[str, tuple[int, ...]]]) -> Iterator[None]:
    """These weights are 0 inside a ``with`` block; behind it they are what they were, also after an exception."""
    with torch.no_grad():
        kept = [(parameters[name], place, parameters[name][place].clone()) for name, place in weights]
        try:
            for parameter, place, _ in kept:
                parameter[place] = 0.0
            yield
        finally:
            for parameter, place, value in kept:
                parameter[place] = value
