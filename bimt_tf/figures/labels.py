"""Words beside neurons, placed so that none covers another or a neuron. Lengths are points; nothing is drawn here.

Greedy: words are placed in the order in which they are given, each at the first of its spots that is free; one without
a free spot is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["Boxes", "Measure", "Spot", "Word", "placed", "shortened"]

Measure = Callable[[str, float], tuple[float, float]]
"""(text, font size) -> its width and height in points."""

PAD = 0.7  # points kept free around a word


class Spot(NamedTuple):
    """Where a word may stand: the offset of its anchor from the neuron, which part of the word the anchor is
    (``across`` and ``up`` from 0, left or bottom, to 1), whether it stands upright, and its font size.
    """

    dx: float
    dy: float
    across: float
    up: float
    upright: bool
    size: float


class Word(NamedTuple):
    """A text that belongs at a point (x, y), and the spots it may take, best first."""

    text: str
    x: float
    y: float
    spots: Sequence[Spot]


class Boxes:
    """Rectangles that are taken."""

    def __init__(self) -> None:
        self._own: Float[np.ndarray, "n 4"] = np.empty((64, 4))
        self._count = 0

    def add(self, boxes: Float[np.ndarray, "n 4"]) -> None:
        """Take rectangles (left, bottom, right, top)."""
        while self._count + len(boxes) > len(self._own):
            self._own = np.concatenate([self._own, np.empty_like(self._own)])
        self._own[self._count : self._count + len(boxes)] = boxes
        self._count += len(boxes)

    def free(self, box: Sequence[float]) -> bool:
        """Whether a rectangle touches none that is taken."""
        own = self._own[: self._count]
        left, bottom, right, top = box
        hit = (own[:, 0] < right) & (own[:, 2] > left) & (own[:, 1] < top) & (own[:, 3] > bottom)
        return not hit.any()


def placed(
    words: Sequence[Word], taken: Boxes, measure: Measure, frame: tuple[float, float] | None = None
) -> list[Spot | None]:
    """The spot of each word, None where there is no room; what is placed is taken.

    Args:
        words: in order of their importance.
        taken: what may not be covered.
        measure: how large a text is.
        frame: left and right ends of the page.
    """
    found: list[Spot | None] = []
    for word in words:
        for spot in word.spots:
            box = _box(word, spot, measure)
            inside = frame is None or (frame[0] <= box[0] and box[2] <= frame[1])
            if inside and taken.free(box):
                taken.add(np.array([box]))
                found.append(spot)
                break
        else:
            found.append(None)
    return found


def _box(word: Word, spot: Spot, measure: Measure) -> tuple[float, float, float, float]:
    wide, high = measure(word.text, spot.size)
    if spot.upright:
        wide, high = high, wide
    left, bottom = word.x + spot.dx - spot.across * wide, word.y + spot.dy - spot.up * high
    return left - PAD, bottom - PAD, left + wide + PAD, bottom + high + PAD


def shortened(text: str, size: float, room: float, measure: Measure) -> str:
    """A text that fits into ``room`` points: its own, or its beginning and an ellipsis."""
    text = " ".join(text.split())
    if measure(text, size)[0] <= room:
        return text
    few, many = 0, len(text)
    while few < many:
        half = (few + many + 1) // 2
        few, many = (half, many) if measure(text[:half] + "…", size)[0] <= room else (few, half - 1)
    return text[:few].rstrip() + "…"
