"""Aligned networks side by side, and how often each of their edges recurs (analysis/align.py).

Every network is drawn with its neurons where their partners stand in the reference, so that what is the same lies at
the same place. The last panel has all edges of all networks in the reference's names: the darker, the more have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bimt_tf.analysis.align_results import Alignment
from bimt_tf.errors import InputError
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.network_key import LINE, Entry, draw_entries, draw_lines, flowed, wrapped
from bimt_tf.figures.panel_key import draw_row_names, marks_of, room_of_names
from bimt_tf.figures.style import ACCENT, INK, MUTED, PALE, STYLE
from bimt_tf.scene.rows import SHEAR
from bimt_tf.scene.scene import ACTIVE, Scene

__all__ = ["AlignedPanel", "aligned_figure"]

PANEL, ROW_PITCH = 2.15, 0.72  # inches
GAP, RIGHT, LABELS, TOP = 0.5, 0.35, 0.4, 0.78  # margins, inches; LABELS: between the panels and the key
NOTE = 6.3  # font size
MOST_IN_A_ROW = 4  # panels
_NOTE = (
    "Every neuron stands where its partner stands in the reference; small figures: its index in its own network. "
    "Neurons of the last panel by the networks that have one like them (similarity 0.9 or more)."
)
_TONES = LinearSegmentedColormap.from_list("found", [PALE, INK])


class AlignedPanel(NamedTuple):
    """One network: its name in the alignment, a line of numbers, and its scene in the aligned layout."""

    name: str
    note: str
    scene: Scene


def aligned_figure(
    alignment: Alignment,
    panels: Sequence[AlignedPanel],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw the networks in one order, and in a last panel how many of them have each edge and each neuron.

    Args:
        alignment: of these networks.
        panels: one a network, the reference among them.
        labels: stage name -> a name for each of its neurons.

    Raises:
        InputError: if a network of the alignment has no panel, or for what ``network_figure`` refuses.
    """
    missing = set(alignment.names) - {panel.name for panel in panels}
    if missing:
        raise InputError(f"every network of the alignment is drawn: {', '.join(sorted(missing))} has no panel")
    reference = next(panel.scene for panel in panels if panel.name == alignment.reference)
    tall = reference.rows[-1].y + reference.rows[-1].half
    lines = -(-(len(panels) + 1) // MOST_IN_A_ROW)
    columns = -(-(len(panels) + 1) // lines)
    height = ROW_PITCH * max(tall, 1)
    block, side = TOP + height + 0.25, room_of_names([reference]) + 0.25
    width = side + columns * PANEL + (columns - 1) * GAP + RIGHT
    entries = flowed(_entries([panel.scene for panel in panels], len(alignment.names)), 72 * (width - side))
    notes = wrapped(_NOTE, NOTE, 72 * (width - side))
    size = (width, lines * block + LABELS + (len(entries) + len(notes)) * LINE / 72)
    with rc_context(STYLE):
        figure = Figure(figsize=size)
        for i in range(len(panels) + 1):
            left = side + i % columns * (PANEL + GAP)
            top = size[1] - i // columns * block
            box = (left / size[0], (top - TOP - height) / size[1], PANEL / size[0], height / size[1])
            axes = figure.add_axes(box)
            if i < len(panels):
                panel = panels[i]
                draw_network(axes, panel.scene, labels=labels, numbers="none" if panel.scene.dense else "all")
                name = panel.name + (" (reference)" if panel.name == alignment.reference else "")
                _head(figure, left, top, size, name, panel.note)
            else:
                _draw_frequency(axes, reference, alignment)
                _head(figure, left, top, size, "In how many networks", _counts(alignment))
            if i % columns == 0:
                draw_row_names(axes, reference, PANEL)
        top = (len(entries) + len(notes)) * LINE + 4
        draw_entries(figure, entries, 72 * side, top)
        draw_lines(figure, notes, 72 * side, top - len(entries) * LINE)
    return figure


def _head(figure: Figure, left: float, top: float, size: tuple[float, float], name: str, note: str) -> None:
    figure.text(left / size[0], (top - 0.12) / size[1], name, fontsize=9, weight="bold", va="top")
    figure.text(left / size[0], (top - 0.30) / size[1], note, fontsize=6.5, color=MUTED, va="top")


def _counts(alignment: Alignment) -> str:
    n = len(alignment.names)
    every = len(alignment.recurring_edges(n))
    return f"{len(alignment.edges)} edges · {every} in all · {len(alignment.recurring_edges(2))} in two or more"


def _at(scene: Scene, row: int) -> Float[np.ndarray, "n 2"]:
    """Where a row's neurons stand, as ``draw_network`` puts them."""
    own = scene.rows[row]
    return np.stack([own.x + SHEAR * own.lift, own.y + own.lift], axis=1)


def _draw_frequency(axes: Axes, scene: Scene, alignment: Alignment) -> None:
    """Edges in the reference's names, those that recur most on top; neurons by how many networks have one like them."""
    n = len(alignment.names)
    axes.set(xlim=(0, 1), ylim=(scene.rows[0].y - scene.rows[0].half, scene.rows[-1].y + scene.rows[-1].half))
    axes.set_axis_off()
    ends = {wires.parameter: (wires.source, wires.target) for wires in reversed(scene.wires)}
    edges = sorted(alignment.edges, key=lambda edge: len(edge.found_in))
    segments = [(_at(scene, ends[e.parameter][0])[e.source], _at(scene, ends[e.parameter][1])[e.target]) for e in edges]
    share = np.array([(len(edge.found_in) - 1) / max(n - 1, 1) for edge in edges])
    colours = [ACCENT if one == 1 else _TONES(0.15 + 0.75 * one) for one in share]
    lines = LineCollection(segments, colors=colours, linewidths=0.4 + 1.6 * share, capstyle="round", zorder=2)
    lines.set(clip_on=False, gid="frequency")
    axes.add_collection(lines, autolim=False)
    alike = {(one.population, one.neuron): len(one.alike_in) / max(n - 1, 1) for one in alignment.neurons}
    for i, row in enumerate(scene.rows):
        at, active = _at(scene, i), scene.states[i] == ACTIVE
        axes.scatter(at[~active, 0], at[~active, 1], s=1.6, color=PALE, lw=0, zorder=3, clip_on=False)
        for neuron in np.flatnonzero(active):
            known = alike.get((row.population, int(neuron)), 1.0)
            tone = ACCENT if known == 1 else _TONES(0.15 + 0.75 * known)
            axes.scatter(
                at[neuron, 0], at[neuron, 1], s=13, color=tone, edgecolor="white", lw=0.4, zorder=4, clip_on=False
            )


def _entries(scenes: Sequence[Scene], n: int) -> list[Entry]:
    """What wires and marks mean, those of the last panel last."""
    tone = _TONES(0.15 + 0.75 * max(n - 2, 0) / max(n - 1, 1))
    return [
        *marks_of(scenes),
        Entry({"color": _TONES(0.15), "lw": 0.8}, "in one"),
        *([Entry({"color": tone, "lw": 1.6}, f"in {n - 1} of {n}")] if n > 2 else []),
        Entry({"color": ACCENT, "lw": 2}, "in all"),
    ]
