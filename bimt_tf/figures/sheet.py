"""A figure of several panels, each placed in inches from the upper left corner: where one stands moves no other."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bimt_tf.figures.style import INK

__all__ = ["Sheet"]


class Sheet:
    """A figure of ``width`` by ``height`` inches.

    It is made, and drawn into, inside ``rc_context(STYLE)``.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height))
        self.width, self.height = width, height

    def panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes that fill this rectangle; their labels stand outside it."""
        place = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(place)

    def text(self, left: float, top: float, text: str, **look: Any) -> None:
        """A text whose upper left corner is here; a dollar sign is a dollar sign."""
        look = {"va": "top", "ha": "left", "color": INK, "parse_math": False, **look}
        self.figure.text(left / self.width, 1 - top / self.height, text, **look)
