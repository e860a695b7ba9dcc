"""A network in true 3D (paper, Section 3.5): layers as planes, seen along parallel rays, so that lengths compare.

All axes have one scale. Width and opacity of a wire are |w| over the largest |w| of its matrix; negative wires are
lighter. Views: oblique, from above (how far wires go aside) and from the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection  # type: ignore[import-untyped]

from bimt_tf.errors import InputError
from bimt_tf.figures.style import BANDS, INK, MUTED, PALE, STYLE, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.scene.space import Plane, Space

__all__ = ["Panel3D", "network_3d_figure", "networks_3d_figure"]

OBLIQUE, ABOVE, FRONT = (24.0, -58.0), (90.0, -90.0), (0.0, -90.0)  # elevation and azimuth, degrees
FILL = {OBLIQUE: 0.68, ABOVE: 0.9, FRONT: 0.9}  # zoom for a plane's width in units of the box's diagonal: one scale
EDGE = 0.06  # of the width, how far a plane reaches beyond the slots' square
PANEL, WORDS, VIEW_OBLIQUE, VIEW_ABOVE = 2.5, 0.3, 2.2, 2.1  # inches, of one of several networks
NARROW = 5.6  # inches, of a figure whose note takes two lines
THIN, THICK = 0.25, 1.7  # points
FAINT = 0.12  # least opacity of a wire


class Panel3D(NamedTuple):
    """One network: its name, a line of numbers, and its space (scene/space.py)."""

    name: str
    note: str
    space: Space


def network_3d_figure(
    space: Space,
    *,
    title: str | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    shades: Mapping[str, Float[np.ndarray, " n"]] | None = None,
) -> Figure:
    """One network from three sides.

    Args:
        space: the planes and wires.
        title: above the figure.
        labels: stage -> a name for each of its neurons, written beside the active ones in the oblique view.
        shades: stage -> a brightness from 0 to 1 for each of its neurons (a mean image, say), drawn as squares.

    Raises:
        InputError: for labels or shades of another number than the stage has neurons.
    """
    labels, shades = labels or {}, shades or {}
    _check(space, labels, shades)
    with rc_context(STYLE):
        figure = Figure(figsize=(7.4, 4.5))
        spots = ((0.0, 0.05, 0.64, 0.9), (0.66, 0.38, 0.33, 0.54), (0.66, 0.07, 0.33, 0.3))
        names = ("", "from above", "from the front")
        for spot, name, view in zip(spots, names, (OBLIQUE, ABOVE, FRONT), strict=True):
            axes: Any = figure.add_axes(spot, projection="3d", computed_zorder=False)
            draw_space(axes, space, view, labels=labels if view == OBLIQUE else {}, shades=shades)
            if name:
                figure.text(spot[0] + 0.01, spot[1] + spot[3] + 0.01, name, fontsize=7, color=MUTED, va="top")
        _words(figure, title, [space])
    return figure


def networks_3d_figure(
    panels: Sequence[Panel3D],
    *,
    title: str | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    columns: int = 3,
    above: bool = True,
) -> Figure:
    """Networks side by side, ``columns`` in a row: the oblique view of each, and with ``above`` that from above too.

    Raises:
        InputError: for no panel.
    """
    if not panels:
        raise InputError("networks_3d_figure needs at least one network to draw")
    columns = min(columns, len(panels))
    below = VIEW_ABOVE if above else 0.0
    rows, pitch = -(-len(panels) // columns), WORDS + VIEW_OBLIQUE + below
    head, foot = (0.36 if title else 0.26), 0.3
    wide, tall = PANEL * columns, head + rows * pitch + foot
    with rc_context(STYLE):
        figure = Figure(figsize=(wide, tall))
        for i, panel in enumerate(panels):
            left, top = PANEL * (i % columns), tall - head - pitch * (i // columns)
            box = (left / wide, (top - WORDS - VIEW_OBLIQUE) / tall, PANEL / wide, VIEW_OBLIQUE / tall)
            axes: Any = figure.add_axes(box, projection="3d", computed_zorder=False)
            draw_space(axes, panel.space, OBLIQUE, labels=labels or {}, named=False)
            if above:
                box = (left / wide, (top - pitch) / tall, PANEL / wide, 0.96 * below / tall)
                axes = figure.add_axes(box, projection="3d", computed_zorder=False)
                draw_space(axes, panel.space, ABOVE, labels={})
            at = (left + 0.12) / wide
            figure.text(at, top / tall, panel.name, fontsize=8.5, weight="bold", va="top")
            figure.text(at, (top - 0.17) / tall, panel.note, fontsize=6.5, color=MUTED, va="top")
        _words(figure, title, [panel.space for panel in panels])
    return figure


def draw_space(
    axes: Any,
    space: Space,
    view: tuple[float, float],
    *,
    labels: Mapping[str, Sequence[str]],
    shades: Mapping[str, Float[np.ndarray, " n"]] | None = None,
    named: bool = True,
) -> None:
    """Draw into a 3D axes of matplotlib from ``view`` (elevation and azimuth in degrees), without perspective."""
    points = np.concatenate([plane.points for plane in space.planes])
    edge = EDGE * max(space.width, float(np.ptp(points[:, :2])))
    low, high = points.min(0) - edge, points.max(0) + edge
    low[:2], high[:2] = np.minimum(low[:2], -edge), np.maximum(high[:2], space.width + edge)
    low[2], high[2] = points[:, 2].min(), max(points[:, 2].max(), points[:, 2].min() + edge)
    axes.set_proj_type("ortho")
    axes.view_init(*view)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=FILL[view] * float(np.linalg.norm(high - low) / (high - low)[:2].max()))
    axes.set_axis_off()
    for number, plane in enumerate(space.planes):
        _plane(axes, plane, low, high, 10 * number, (shades or {}).get(plane.stage), 0.06 if number else 0.6)
        own = space.layer == number
        _wires(axes, space, own, 10 * number + 5)
        if number:
            _neurons(axes, plane, 10 * number + 3)
        if named and view == OBLIQUE:
            axes.text(
                low[0], low[1], plane.height, f"{plane.stage} ", fontsize=6.5, color=MUTED, ha="right", zorder=500
            )
        for neuron, name in enumerate(labels.get(plane.stage, ())):
            if plane.active[neuron]:
                x, y, z = plane.points[neuron]
                axes.text(x, y, z + 0.05 * space.width, name, fontsize=6.5, color=INK, ha="center", zorder=500)


def _plane(
    axes: Any, plane: Plane, low: Any, high: Any, order: int, shades: Float[np.ndarray, " n"] | None, filled: float
) -> None:
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    face = [[(x, y, plane.height) for x, y in corners]]
    axes.add_collection3d(
        Poly3DCollection(face, facecolor=to_rgba(BANDS[1], filled), edgecolor=PALE, linewidth=0.6, zorder=order)
    )
    if shades is not None:
        half = _pitch(plane.points) / 2
        squares = [
            [(x - half, y - half, z), (x + half, y - half, z), (x + half, y + half, z), (x - half, y + half, z)]
            for x, y, z in plane.points
        ]
        greys = [to_rgba(str(1 - 0.55 * float(shade)), 0.8) for shade in shades]
        axes.add_collection3d(Poly3DCollection(squares, facecolors=greys, linewidth=0, zorder=order + 1))
    idle = plane.points[~plane.active]
    size = 1.2 if len(plane.points) > 200 else 3.0
    axes.scatter(*idle.T, s=size, color=PALE, lw=0, depthshade=False, zorder=order + 2)
    if order == 0:
        _neurons(axes, plane, order + 3)


def _neurons(axes: Any, plane: Plane, order: int) -> None:
    shown = plane.points[plane.active]
    size = 3.0 if len(plane.points) > 200 else 9.0
    axes.scatter(*shown.T, s=size, color=INK, edgecolor="white", lw=0.3, depthshade=False, zorder=order)


def _wires(axes: Any, space: Space, own: np.ndarray[Any, Any], order: int) -> None:
    ranked = np.flatnonzero(own)[np.argsort(space.strength[own], kind="stable")]  # strong ones on top
    if not ranked.size:
        return
    strength = space.strength[ranked]
    colours = [
        to_rgba(WIRE_POSITIVE if space.positive[i] else WIRE_NEGATIVE, FAINT + (0.95 - FAINT) * space.strength[i])
        for i in ranked
    ]
    axes.add_collection3d(
        Line3DCollection(
            list(space.ends[ranked]), colors=colours, linewidths=THIN + (THICK - THIN) * strength, zorder=order
        )
    )


def _pitch(points: Float[np.ndarray, "n 3"]) -> float:
    """The distance between neighbouring slots along x."""
    steps = np.diff(np.unique(points[:, 0].round(9)))
    return float(steps.min()) if steps.size else 1.0


def _words(figure: Figure, title: str | None, spaces: Sequence[Space]) -> None:
    if title:
        figure.text(0.012, 0.985, title, fontsize=9, weight="bold", va="top")
    handles = [
        Line2D([], [], color=WIRE_POSITIVE, lw=1.6, label="positive"),
        Line2D([], [], color=WIRE_NEGATIVE, lw=1.6, label="negative"),
    ]
    figure.legend(handles=handles, loc="upper right", ncols=2, handlelength=1.4, columnspacing=1.2, borderaxespad=0.2)
    thinned = any(len(space.strength) < space.active for space in spaces)
    most = max(len(space.strength) for space in spaces)
    told = f"the {most} strongest active weights" if thinned else "all active weights"
    said = f"Wires: {told}, |w| over the largest of its matrix. Orthographic; x, y and height on one scale."
    if figure.get_figwidth() < NARROW:
        said = said.replace(". ", ".\n", 1)
    figure.text(0.012, 0.012, said, fontsize=6.2, color=MUTED, va="bottom")


def _check(space: Space, labels: Mapping[str, Sequence[str]], shades: Mapping[str, Any]) -> None:
    sizes = {plane.stage: len(plane.points) for plane in space.planes}
    for what, given in (("labels", labels), ("shades", shades)):
        for stage, values in given.items():
            if sizes.get(stage) != len(values):
                raise InputError(f"{what} of {stage!r} must be {sizes.get(stage, 0)}, found {len(values)}")
