"""What each hidden neuron reads of an image: its input weights as a picture, at the neuron's place in its layer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, MUTED, PALE, STYLE

__all__ = ["image_features_figure"]

DIVERGING = "RdBu"  # blue is positive, red negative
SIZE = 6.4  # inches of the grid


def image_features_figure(
    weights: Float[np.ndarray, "pixels neurons"],
    places: Float[np.ndarray, "neurons 2"],
    pixel_places: Float[np.ndarray, "pixels 2"],
    active: Bool[np.ndarray, " neurons"],
    *,
    title: str | None = None,
) -> Figure:
    """The neurons of a layer on their grid, each as the image of its input weights; idle places are empty.

    The cross in an image is the neuron's own place among the pixels: where short wires come from. Both grids have
    their first row at the top. Each image is scaled by its own largest |w|.

    Raises:
        InputError: for pixels that do not form a grid, or arrays of other numbers.
    """
    columns, rows = (np.unique(places[:, axis].round(9)) for axis in (0, 1))
    pixel_x, pixel_y = (np.unique(pixel_places[:, axis].round(9)) for axis in (0, 1))
    if len(pixel_x) * len(pixel_y) != len(pixel_places) or weights.shape != (len(pixel_places), len(places)):
        found = f"{len(pixel_places)} pixels of {len(pixel_x)} columns and {len(pixel_y)} rows"
        raise InputError(f"image features need pixels on a full grid and a weight for each, found {found}")
    at = (np.searchsorted(pixel_y, pixel_places[:, 1].round(9)), np.searchsorted(pixel_x, pixel_places[:, 0].round(9)))
    with rc_context(STYLE):
        side = SIZE / len(columns)
        figure = Figure(figsize=(SIZE + 0.3, side * len(rows) + 0.75))
        wide, tall = figure.get_size_inches()
        for neuron in range(len(places)):
            column = int(np.searchsorted(columns, places[neuron, 0].round(9)))
            row = int(np.searchsorted(rows, places[neuron, 1].round(9)))
            left, low = 0.15 + side * (column + 0.05), tall - 0.42 - side * (row + 0.95)
            axes = figure.add_axes((left / wide, low / tall, 0.9 * side / wide, 0.9 * side / tall))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
            axes.spines[:].set(color=PALE, lw=0.5)
            if not active[neuron]:
                axes.add_patch(Rectangle((0.47, 0.47), 0.06, 0.06, color=PALE, transform=axes.transAxes))
                continue
            image = np.zeros((len(pixel_y), len(pixel_x)))
            image[at] = weights[:, neuron]
            most = float(np.abs(image).max()) or 1.0
            axes.imshow(image, cmap=DIVERGING, vmin=-most, vmax=most)
            own = [np.interp(places[neuron, i], axis, range(len(axis))) for i, axis in enumerate((pixel_x, pixel_y))]
            axes.plot(*own, "+", color=INK, ms=4, mew=0.7)
        figure.text(0.15 / wide, 1 - 0.08 / tall, title or "", fontsize=9, weight="bold", va="top")
        said = (
            "Blue: positive, red: negative, each by its own largest |w|; +: the neuron's own place; dots: idle neurons."
        )
        figure.text(0.15 / wide, 0.08 / tall, said, fontsize=6.5, color=MUTED, va="bottom")
    return figure
