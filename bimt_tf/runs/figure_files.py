"""A figure as the content of a file."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["image_of"]

DPI = 200


def image_of(figure: Figure, form: str) -> bytes:
    """A figure as "png", "pdf" or "svg"."""
    drawn = BytesIO()
    figure.savefig(drawn, format=form, dpi=DPI)
    return drawn.getvalue()
