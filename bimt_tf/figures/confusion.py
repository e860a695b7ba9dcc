"""Which classes are taken for which: counts of predicted against true classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, SEQUENTIAL, STYLE, vector

__all__ = ["confusion_figure"]

SIZE = (4.0, 3.5)  # inches
MANY_CLASSES = 12  # beyond which cells hold no numbers
MOST_NAMES = 30  # names on an axis; of more classes, every second, third, ... is named


def confusion_figure(true: Any, predicted: Any, classes: Sequence[str]) -> Figure:
    """A matrix of counts, true classes down, predicted classes across; the title says the accuracy.

    Args:
        true: tensor, array or list of n class numbers.
        predicted: as many class numbers, in the same order.
        classes: what the classes are called, by number.

    Raises:
        InputError: when the two differ in length or are empty, or hold anything but numbers of classes.
    """
    true, predicted = vector("true", true), vector("predicted", predicted)
    if true.size != predicted.size:
        raise InputError(f"true and predicted must be equally many, found {true.size} and {predicted.size}")
    numbers = np.arange(len(classes))
    for name, found in (("true", true), ("predicted", predicted)):
        if not np.isin(found, numbers).all():
            strange = found[~np.isin(found, numbers)][0]
            raise InputError(f"{name} must hold class numbers from 0 to {len(classes) - 1}, found {strange:g}")
    counts = confusion_matrix(true.astype(int), predicted.astype(int), labels=numbers)
    shown = numbers[:: -(-len(classes) // MOST_NAMES)]
    small = len(classes) > MANY_CLASSES
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(counts, cmap=SEQUENTIAL, interpolation="nearest")
        for ticks in (axes.set_xticks, axes.set_yticks):
            ticks(shown, [classes[i] for i in shown], fontsize=5 if small else 8)
        axes.tick_params(axis="x", rotation=90 if small else 0)
        for row, column in np.ndindex(counts.shape) if not small else ():
            dark = counts[row, column] < counts.max() / 2
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=6,
                      color="white" if dark else INK)  # fmt: skip
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_title(f"accuracy {np.mean(true == predicted):.2%}, {true.size:,} samples")
        figure.colorbar(image, ax=axes, shrink=0.8, label="samples")
    return figure
