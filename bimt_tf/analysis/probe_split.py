"""Which examples are held out together, and how a target is shuffled: by distinct input.

Examples that repeat what reaches the probed place are one *unit*: all of them are trained on, or none. So 24 embeddings
that recur in every pair of a group task are 24 units, not hundreds of examples. Further, where one token alone
determines the target (the sign of the first of two permutations), its values are the units: otherwise the held-out
examples would repeat values whose target was learned by heart, which a random label for each value would be as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from bimt_tf.analysis.probe_values import FEWEST, Target

__all__ = ["Division", "determines", "divide", "shuffled_columns", "units_of"]

HELD_OUT = 0.2
"""Share of the units that is held out."""
MANY = 200
"""Units from which on one division into training and held-out ones is made; of fewer, each is held out once."""
FOLDS = 5
"""Parts that are held out in turn where there are fewer units than MANY."""
SHUFFLES = 10
"""How often a target is shuffled for the control."""
MOST_COLUMNS = 120
"""Columns of all shuffled targets together, above which there are fewer shuffles (two at least)."""


class Division(NamedTuple):
    """How examples are divided.

    ``unit``: number of each example's unit. ``by``: what a unit is, in words. ``folds``: (training, held-out) indices.
    ``repeated``: whether a unit has more than one example. ``undefined``: why nothing can be held out; "" if it can.
    """

    unit: Int[np.ndarray, " n"]
    by: str
    folds: list[tuple[np.ndarray, np.ndarray]]
    repeated: bool
    undefined: str

    @property
    def units(self) -> int:
        """How many there are."""
        return int(self.unit.max()) + 1


def units_of(rows: Shaped[np.ndarray, "n ..."]) -> Int[np.ndarray, " n"]:
    """The number of each row among the distinct ones."""
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1)) + 0  # -0.0 is 0.0
    words = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1])))[:, 0]
    found: np.ndarray = np.unique(words, return_inverse=True)[1]
    return found


def divide(target: Target, reaching: Mapping[str, Shaped[np.ndarray, "n ..."]], seed: int) -> Division:
    """Units and folds.

    Args:
        target: what is looked for.
        reaching: the parts of the input (its tokens, or the input as a whole) that reach the probed place, by name.
        seed: of the order in which units are held out.
    """
    n = len(target.values)
    each = {name: units_of(part) for name, part in reaching.items()}
    unit = units_of(np.stack(list(each.values()), axis=1)) if each else np.zeros(n, dtype=int)
    by = "what reaches this place: " + (", ".join(reaching) or "nothing")
    for name, numbers in each.items():
        if FEWEST <= numbers.max() + 1 < unit.max() + 1 and determines(numbers, target.values):
            unit, by = numbers, f"{name}, which determines the target"
    count, distinct = int(unit.max()) + 1, f"{by} ({unit.max() + 1} distinct values)"
    undefined = "" if count >= FEWEST else f"{distinct}: a held-out score needs at least {FEWEST}"
    order = np.random.default_rng(seed).permutation(count)
    parts = [order[: round(HELD_OUT * count)]] if count >= MANY else np.array_split(order, FOLDS)
    folds = [(np.flatnonzero(~held), np.flatnonzero(held)) for held in (np.isin(unit, part) for part in parts)]
    for train, held in folds if not undefined else ():
        if np.ptp(target.values[train]) == 0:
            undefined = f"the target is constant over the {len(train)} training examples; give more examples"
        elif target.kind == "classes" and not (target.columns[held] @ target.columns[train].sum(0)).any():
            undefined = f"no held-out class occurs in training: the target tells apart the values of {by}"
    if not undefined and np.ptp(target.values[np.concatenate([held for _, held in folds])]) == 0:
        undefined = "the target is constant over the held-out examples; give more examples"
    return Division(unit, by, folds, count < n, undefined)


def shuffled_columns(target: Target, division: Division, seed: int) -> list[np.ndarray]:
    """The target's columns, each time with those of a unit exchanged for those of another, drawn at random."""
    width = target.columns.shape[1]
    rng = np.random.default_rng([seed, 1])
    order = np.argsort(division.unit, kind="stable")
    start = np.searchsorted(division.unit[order], np.arange(division.units + 1))
    sizes = np.diff(start)
    place = np.empty(len(order), dtype=int)  # of an example in its unit
    place[order] = np.arange(len(order)) - start[division.unit[order]]
    found = []
    for _ in range(max(2, min(SHUFFLES, MOST_COLUMNS // width))):
        other = rng.permutation(division.units)[division.unit]
        found.append(target.columns[order[start[other] + place % sizes[other]]])
    return found


def determines(units: np.ndarray, values: np.ndarray) -> bool:
    """Whether examples of one unit all have the same target."""
    first = np.zeros(units.max() + 1)
    first[units] = values
    return bool((first[units] == values).all())
