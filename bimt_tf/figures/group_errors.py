"""Where an embedding departs from a representation (paper, Appendix E: the error map)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.errors import InputError
from bimt_tf.figures.group_order import DIVERGING, element_order, neuron_order
from bimt_tf.figures.style import SEQUENTIAL, STYLE

__all__ = ["group_errors_figure"]

NAMED = 40  # elements on an axis; of more, every second, third ... is named


def group_errors_figure(report: GroupReport) -> Figure:
    """Left, unless the group is cyclic: what the linear relation to the best faithful representation leaves of each
    value. Right: how far E(a b) is from the best linear function of E(b) for that a; elements by coset.

    Raises:
        InputError: for an embedding of as many neurons as elements, which leaves no error.
    """
    if report.action is None:
        raise InputError("as many neurons as elements fit anything: there is no error to draw")
    order, _ = element_order(report.group)
    faithful = None if report.rings else report.faithful
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2 if faithful else 4.4, 3.9), layout="constrained")
        axes = figure.subplots(1, 2 if faithful else 1, squeeze=False)[0]
        if faithful is not None:
            columns = neuron_order(report)
            left = np.asarray(faithful.errors)[order][:, columns]
            most = np.abs(np.asarray(report.embedding) - np.mean(report.embedding, 0)).max()
            image = axes[0].imshow(left, cmap=DIVERGING, vmin=-most, vmax=most, aspect="auto")
            axes[0].set_xticks(range(len(columns)), [str(report.neurons[j]) for j in columns])
            _elements(axes[0], "y", report, order)
            axes[0].set(xlabel="embedding neuron", ylabel="element")
            axes[0].set_title(f"Left by a linear map from {faithful.irrep}: loss {faithful.loss:.3f}")
            _bar(figure, image, axes[0], "value not explained")
        image = axes[-1].imshow(np.asarray(report.action.errors)[np.ix_(order, order)], cmap=SEQUENTIAL, vmin=0)
        for axis in "xy":
            _elements(axes[-1], axis, report, order)
        axes[-1].set(xlabel="b", ylabel="a")
        axes[-1].set_title(f"E(ab) against a linear map of E(b): loss {report.action.loss:.3f}")
        _bar(figure, image, axes[-1], "squared error, in units of the variance")
    return figure


def _elements(axes: Any, axis: str, report: GroupReport, order: np.ndarray[Any, Any]) -> None:
    shown = np.arange(0, len(order), -(-len(order) // NAMED))
    ticks = axes.set_xticks if axis == "x" else axes.set_yticks
    ticks(shown, [report.group.names[order[i]] for i in shown], fontsize=5)
    axes.spines[:].set_visible(False)
    if axis == "x":
        axes.tick_params(axis="x", rotation=90)


def _bar(figure: Figure, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=24, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
