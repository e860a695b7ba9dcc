"""The figures of a group report, by name, and what they share: the order of elements and the colours of values."""

from __future__ import annotations

from matplotlib.figure import Figure

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.errors import InputError, require_kind
from bimt_tf.figures.group_cayley import group_cayley_figure
from bimt_tf.figures.group_errors import group_errors_figure
from bimt_tf.figures.group_neurons import group_neurons_figure
from bimt_tf.figures.group_rings import group_rings_figure

__all__ = ["group_figures"]

LARGEST = 130  # elements that a map or a graph can show


def group_figures(report: GroupReport) -> dict[str, Figure]:
    """The figures that a report has: "rings" of a cyclic group, else "neurons"; "cayley"; "errors" where the neurons
    are fewer than the elements.

    Raises:
        InputError: for what is no report, or a group too large to draw.
    """
    require_kind("report", report, GroupReport)
    if len(report.group) > LARGEST:
        raise InputError(f"groups of at most {LARGEST} elements are drawn, found {len(report.group)}")
    first = {"rings": group_rings_figure} if report.rings else {"neurons": group_neurons_figure}
    wanted = {**first, "cayley": group_cayley_figure}
    if report.action is not None:
        wanted["errors"] = group_errors_figure
    return {name: draw(report) for name, draw in wanted.items()}
