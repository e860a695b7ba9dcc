"""How every figure looks: colours, fonts and lines, stated once, and how numbers come in.

The colours are Okabe and Ito's, which colour-blind readers tell apart. Figures are drawn inside
``matplotlib.rc_context(STYLE)``, so the user's own settings stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bimt_tf.errors import InputError

__all__ = [
    "STYLE", "POSITIVE", "NEGATIVE", "INK", "MUTED", "PALE", "ACCENT", "BANDS", "SEQUENTIAL", "INK_OUTLINE",
    "METHOD_COLOURS", "METHOD_MARKERS", "MODULES", "MODULE_MARKERS", "WIRE_POSITIVE", "WIRE_NEGATIVE", "vector",
]  # fmt: skip

POSITIVE = "#0072B2"
NEGATIVE = "#D55E00"
ACCENT = "#009E73"
INK = "#1F2933"
MUTED = "#6B7785"
PALE = "#C9D0D8"
INK_OUTLINE = "white"
BANDS = ("#EEF1F4", "#E1E6EB")
SEQUENTIAL = "viridis"
WIRE_POSITIVE = "#004E8C"
WIRE_NEGATIVE = "#E57200"  # lighter too, so that the signs differ in grey
MODULES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D00", "#5B3A8C")
MODULE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
METHOD_COLOURS = {
    "vanilla": MUTED, "l1": "#E69F00", "l1-local": "#CC79A7", "l1-swap": "#56B4E9", "bimt": POSITIVE,
    "magnitude": NEGATIVE, "topk": ACCENT,
}  # fmt: skip
METHOD_MARKERS = {
    "vanilla": "X", "l1": "s", "l1-local": "^", "l1-swap": "v", "bimt": "o", "magnitude": "D", "topk": "P",
}  # fmt: skip

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.facecolor": "white",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.dpi": 150,
    "figure.facecolor": "white",
}


def vector(name: str, values: Any) -> Float[np.ndarray, "n"]:
    """A tensor, array or list of numbers as a flat float64 array; InputError if it is empty or not finite."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    flat = np.asarray(array, dtype=np.float64).ravel()
    if not flat.size or not np.isfinite(flat).all():
        raise InputError(f"{name} must hold finite numbers, found {'none' if not flat.size else 'NaN or infinity'}")
    return flat
