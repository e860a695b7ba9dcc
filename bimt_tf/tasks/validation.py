"""Validation examples: a part of the training examples that training does not see.

Held-out examples are for reporting, so nothing may be chosen by them. What an elimination keeps or takes back is chosen
by these.
"""

from __future__ import annotations

from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Split

__all__ = ["set_aside"]


def set_aside(split: Split, share: float) -> tuple[Split, Data | None]:
    """``split`` without the last ``share`` of its training examples, and these; as it is, and None, for 0.

    The rows of a task's examples are in a random order, so that the last are as good as any.

    Raises:
        InputError: where no example would be left to train on, or none to validate with.
    """
    if not share:
        return split, None
    n = len(split.train.inputs)
    aside = round(n * share)
    if not 0 < aside < n:
        raise InputError(f"validation_share {share:g} of {n} training examples leaves no example on one side")
    left = split._replace(train=_rows(split.train, slice(None, n - aside)))
    return left, _rows(split.train, slice(n - aside, None))


def _rows(part: Data, rows: slice) -> Data:
    quantities = {name: values[rows] for name, values in part.quantities.items()}
    return Data(part.inputs[rows], part.targets[rows], quantities)
