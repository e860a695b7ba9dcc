"""Two neurons and the quantity they encode together (paper, Section 3.4: residual neurons that give w)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import MUTED, SEQUENTIAL, STYLE, vector

__all__ = ["pair_figure"]

SIZE = (4.0, 3.2)  # inches
MANY_POINTS = 5000  # beyond which a PDF holds them as an image


def pair_figure(
    first: Any,
    second: Any,
    target: Any,
    *,
    names: tuple[str, str] = ("first neuron", "second neuron"),
    target_name: str = "target",
    told: str = "",
) -> Figure:
    """A scatter of two neurons' activations, coloured by the value they encode.

    Args:
        first: activations of one neuron over n samples: tensor, array or list.
        second: those of the other.
        target: the value at each sample.
        names: of the neurons, for the axes, e.g. ``("residual 3", "residual 17")``.
        target_name: of the value, for the colour bar.
        told: how well the pair gives the value, and what else does, for a second line of the title.

    Raises:
        InputError: when the three differ in length, are empty or hold NaN or infinity.
    """
    columns = [vector(*item) for item in (("first", first), ("second", second), ("target", target))]
    if len({column.size for column in columns}) > 1:
        sizes = ", ".join(str(column.size) for column in columns)
        raise InputError(f"first, second and target must be equally many, found {sizes}")
    x, y, colour = columns
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        points = axes.scatter(x, y, c=colour, cmap=SEQUENTIAL, s=8, lw=0, rasterized=x.size > MANY_POINTS,
                              alpha=float(np.clip(90 / x.size**0.6, 0.3, 0.9)))  # fmt: skip
        axes.set(xlabel=f"activation of {names[0]}", ylabel=f"activation of {names[1]}")
        axes.margins(0.04)
        bar = figure.colorbar(ScalarMappable(points.norm, points.cmap), ax=axes, pad=0.02, aspect=28)
        bar.set_label(target_name)
        bar.outline.set_visible(False)
        axes.set_title(f"{target_name} from two neurons", pad=16 if told else None)
        if told:
            axes.text(0, 1.02, told, transform=axes.transAxes, fontsize=7, color=MUTED)
    return figure
