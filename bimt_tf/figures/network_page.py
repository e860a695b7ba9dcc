"""How a network's scene is laid out on a page: columns of rows, and how large a text is (network.py)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from bimt_tf.figures.style import STYLE
from bimt_tf.scene.rows import SHEAR
from bimt_tf.scene.scene import Scene

__all__ = ["STRIP_FROM", "Column", "columns_of", "measure"]

STRIP_FROM = 200  # neurons on a line from which idle ones are a strip, not dots
INSIDE = 2.0  # how much nearer a cut inside a block must be than one between two blocks
TALLEST = 15.0  # rows of a column, in distances between depths
_TEXTS = TextToPath()


@lru_cache(maxsize=4096)
def measure(text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in points, from its font's lowest to its highest letter.

    At few dots an inch, letters are rounded to whole dots and a text is up to a tenth wider: that much is added.
    """
    font = FontProperties(family=STYLE["font.family"], size=size)
    width, *_ = _TEXTS.get_text_width_height_descent(text, font, False)
    return 1.13 * float(width) + 0.3, 1.17 * size


class Column(NamedTuple):
    """Rows ``first`` to ``last`` of a scene, in a panel ``width`` inches wide with ``pitch`` inches a unit of height.

    ``low`` and ``high``: the panel's ends, in units of height.
    """

    scene: Scene
    first: int
    last: int
    width: float
    pitch: float

    @property
    def low(self) -> float:
        """Height of the panel's lower end."""
        row = self.scene.rows[self.first]
        return row.y - row.half

    @property
    def high(self) -> float:
        """Height of the panel's upper end."""
        return max(row.y + row.half for row in self.scene.rows[self.first : self.last + 1])

    @property
    def rows(self) -> range:
        """The numbers of its rows."""
        return range(self.first, self.last + 1)

    def holds(self, source: int, target: int) -> bool:
        """Whether both rows are in this column."""
        return self.first <= source and target <= self.last and source < self.last

    def at(self, row: int) -> Float[np.ndarray, "n 2"]:
        """Where a row's neurons stand in the panel's coordinates."""
        own = self.scene.rows[row]
        return np.stack([own.x + SHEAR * own.lift, own.y + own.lift], axis=1)

    def points(self, at: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Coordinates of the panel in points from its lower left corner."""
        return np.asarray((at - [0.0, self.low]) * [72 * self.width, 72 * self.pitch])

    def is_strip(self, row: int) -> bool:
        """Whether a row is too crowded for a dot a neuron: it is a strip, with dots where drawn wires end."""
        own = self.scene.rows[row]
        return own.size > STRIP_FROM and not own.half

    def wired(self, row: int) -> Bool[np.ndarray, " n"]:
        """The neurons of a row at which a wire ends that is drawn by itself."""
        found = np.zeros(self.scene.rows[row].size, dtype=bool)
        for wires in self.scene.wires:
            if wires.source == row:
                found[wires.sources] = True
            if wires.target == row:
                found[wires.targets] = True
        return found

    def room(self, row: int) -> float:
        """About how far apart a row's neurons stand, in points."""
        own = self.scene.rows[row]
        if own.size == 1:
            return 72 * self.width
        wide, high = 72 * self.width * np.ptp(own.x), 72 * self.pitch * np.ptp(own.lift)
        return float(high / math.sqrt(own.size) if high else wide / (own.size - 1))


def _within_block(scene: Scene, row: int) -> bool:
    """Whether the rows below and above are of one block."""
    below, above = scene.rows[row - 1].block, scene.rows[row + 1].block
    return scene.rows[row].block is not None or (below is not None and below == above)


def columns_of(scene: Scene, width: float, pitch: float, tallest: float = TALLEST) -> list[Column]:
    """Columns of at most about ``tallest`` units; the last row of one is the first of the next.

    A column ends at a row that stands alone at its depth and that no wire passes by.
    """
    rows = scene.rows
    ends = {i for i, row in enumerate(rows) if sum(r.depth == row.depth for r in rows) == 1}
    for wires in scene.wires:
        ends -= set(range(wires.source + 1, wires.target))
    total = rows[-1].y - rows[0].y
    n = max(1, math.ceil((total - 1.0) / tallest))
    cuts = [0]
    for i in range(1, n):
        later = [end for end in ends if cuts[-1] < end < len(rows) - 1]
        if later:
            wanted = rows[0].y + total * i / n
            cuts.append(min(later, key=lambda end: abs(rows[end].y - wanted) + INSIDE * _within_block(scene, end)))
    cuts.append(len(rows) - 1)
    if len(rows) == 1:
        return [Column(scene, 0, 0, width, pitch)]
    return [Column(scene, a, b, width, pitch) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]
