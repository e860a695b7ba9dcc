"""The network as it grows, picture by picture: one page on which rows stand still, neurons move and wires come and go.

It is drawn as network.py draws a network, from the same scenes; what changes is set on artists that are made once.
Neurons' numbers are left out. Beneath stands the held-out loss over the time of the animation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from bimt_tf.errors import InputError
from bimt_tf.figures.network_neurons import BIAS, MARKS, dot, draw_box, draw_plane
from bimt_tf.figures.network_page import Column, columns_of, measure
from bimt_tf.figures.network_wires import CROWD, DASHED, DOTTED, THICK, THIN, heights
from bimt_tf.figures.network_words import draw_row_names, row_label
from bimt_tf.figures.style import INK, MUTED, PALE, POSITIVE, STYLE, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.figures.tween import Frame, TweenWires, pace, places_between, sizes_between, wires_between
from bimt_tf.scene.scene import ACTIVE, CARRIED, IDLE

__all__ = ["NetworkAnimation"]

WIDTH, TALLEST, PITCH = 5.2, 6.4, 0.62  # inches
EDGE, TITLE, CURVE, BETWEEN = 0.14, 0.52, 0.5, 0.5  # inches: around, of the title, of the curve, above the curve
MOST = 400  # wires drawn of each frame, the strongest: a GIF of more is too large to show anywhere
KINDS = ("positive", "negative", "off")
LINES = ("-", DASHED, DOTTED)
"""How wires of each kind are drawn: as network.py does."""


class NetworkAnimation:
    """A figure that shows any picture of an animation: ``figure``, ``pictures`` (how many), :meth:`draw`.

    Args:
        frames: the network at its steps, first to last, at least two; all of one network.
        pictures: how many pictures lead from the first to the last, at least two.
        title: what is animated; step, phase, loss and weights stand under it.
        labels: stage name -> a name for each of its neurons.

    Raises:
        InputError: for fewer frames or pictures.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        pictures: int,
        *,
        title: str = "",
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if len(frames) < 2 or pictures < 2:
            raise InputError(f"an animation needs two frames and two pictures, found {len(frames)} and {pictures}")
        self.frames, self.pictures = list(frames), pictures
        self._pace, self._labels = pace(frames, pictures), dict(labels or {})
        last = frames[-1].scene
        rows = last.rows
        pitch = min(PITCH, TALLEST / max(rows[-1].y - rows[0].y, 1.0))
        (column,) = columns_of(last, WIDTH, pitch, tallest=float("inf"))
        self._column = column
        with rc_context(STYLE):
            self.figure, self._axes, curve = _page(column)
            self._make(title)
            self._draw_curve(curve)
        self.draw(0)

    def draw(self, picture: int) -> None:
        """Show a picture, from 0 to ``pictures`` - 1; the last one is the last frame as it is."""
        i, share = self._pace[picture]
        a, b = self.frames[i], self.frames[i + 1]
        nearer = a if share < 0.5 else b
        places = places_between(a.scene, b.scene, share)
        self._set_wires(wires_between(a.scene, b.scene, share, MOST), places)
        self._set_neurons(a, b, share, places)
        self._set_links(nearer, places)
        self._set_biases(a, b, share, places)
        for row, texts in self._named:
            for text, (x, _) in zip(texts, places[row], strict=True):
                text.set_x(x)
        for row, count in zip(self._column.rows, self._counts, strict=True):
            on_path = nearer.scene.on_paths[row]
            count.set_text(f"{int(on_path.sum()):,}/{len(on_path):,}")
        self._told.set_text(_told(nearer))
        self._marker.set_data([picture], [np.exp(np.interp(picture, self._at, np.log(self._losses)))])

    def _make(self, title: str) -> None:
        """All artists, once."""
        axes, column = self._axes, self._column
        boxes, depths = heights(column.scene)
        for row in column.rows:
            draw_box(axes, column, row, boxes[row])
            draw_plane(axes, column, row)
            if column.is_strip(row):
                y = column.scene.rows[row].y
                axes.plot([0, 1], [y, y], color=PALE, lw=3, zorder=3, clip_on=False, solid_capstyle="butt")
        self._wires = [[_lines(axes, z, style) for style in LINES] for z in depths]
        for kinds, wires in zip(self._wires, column.scene.wires, strict=True):
            for lines in kinds:
                lines.set_gid(f"wires {wires.parameter}")
        self._links = [_lines(axes, z, (0, (1, 2.5))) for z in (0.9, 2.5)]
        self._biases = _lines(axes, 4.1, "-")
        self._dots: dict[int, PathCollection] = {}
        for state, (marker, style) in MARKS.items():
            self._dots[state] = axes.scatter(
                [], [], marker=marker, clip_on=False, zorder=4, gid=f"state {state}", **style
            )
        draw_row_names(axes, column)
        self._counts = [text for text in axes.texts if text.get_gid() == "count"]
        self._named = [self._names(row) for row in column.rows if self._is_named(row)]
        left, high = axes.get_position().x0, self.figure.get_size_inches()[1]
        self.figure.text(
            left, 1 - EDGE / high, title, fontsize=10, weight="bold", va="top", parse_math=False, gid="title"
        )
        self._told = self.figure.text(left, 1 - (EDGE + 0.2) / high, "", fontsize=8, va="top", parse_math=False)

    def _is_named(self, row: int) -> bool:
        """Whether names stand at a row: the first of a stage that has some, where they fit."""
        rows = self._column.scene.rows
        words = self._labels.get(rows[row].stage)
        first = next(i for i, other in enumerate(rows) if other.stage == rows[row].stage)
        if words is None or first != row or rows[row].half or len(words) != rows[row].size:
            return False
        return max(measure(word, 6.5)[0] for word in words) + 2 <= self._column.room(row)

    def _names(self, row: int) -> tuple[int, list[Text]]:
        own, below = self._column.scene.rows[row], row == self._column.first
        y, va = (own.y - 0.16, "top") if below else (own.y + 0.16, "bottom")
        texts = [
            self._axes.text(0, y, word, fontsize=6.5, ha="center", va=va, parse_math=False, clip_on=False)
            for word in self._labels[own.stage]
        ]
        return row, texts

    def _set_wires(self, found: Sequence[TweenWires], places: Sequence[np.ndarray]) -> None:
        scene = self._column.scene
        between: dict[tuple[int, int], float] = {}
        for wires, one in zip(scene.wires, found, strict=True):
            ends = wires.source, wires.target
            between[ends] = between.get(ends, 0.0) + min(one.many, MOST)
        for wires, one, kinds in zip(scene.wires, found, self._wires, strict=True):
            room = min(1.0, (CROWD / max(between[wires.source, wires.target], 1)) ** 0.6)
            order = np.argsort(one.strength, kind="stable")
            segments = np.stack([places[wires.source][one.sources], places[wires.target][one.targets]], axis=1)
            here = one.strength > 0
            on = one.active >= 0.5
            chosen = (here & on & (one.weights > 0), here & on & (one.weights <= 0), here & ~on)
            for lines, mask, colour in zip(kinds, chosen, (WIRE_POSITIVE, WIRE_NEGATIVE, MUTED), strict=True):
                which = order[mask[order]]
                strength = one.strength[which]
                alpha = np.full(len(which), 0.7) if colour == MUTED else 0.3 + 0.65 * np.sqrt(strength)
                alpha = alpha * room * np.minimum(1.0, strength / 0.02)  # what comes or goes begins at nothing
                lines.set_segments(list(segments[which]))
                lines.set_color([(*to_rgb(colour), one_alpha) for one_alpha in alpha.tolist()])
                lines.set_linewidth((THIN + (THICK - THIN) * strength) * np.sqrt(room))

    def _set_neurons(self, a: Frame, b: Frame, share: float, places: Sequence[np.ndarray]) -> None:
        nearer = (a if share < 0.5 else b).scene
        sizes = [self._areas(a, row) * (1 - share) + self._areas(b, row) * share for row in self._column.rows]
        states = np.concatenate([nearer.states[row] for row in self._column.rows])
        at, areas = np.concatenate(list(places)), np.concatenate(sizes)
        for state, dots in self._dots.items():
            chosen = (states == state) & (areas > 0)
            dots.set_offsets(at[chosen])
            dots.set_sizes(areas[chosen])

    def _areas(self, frame: Frame, row: int) -> np.ndarray:
        """Square points of each neuron's mark, as network.py has them; 0 of those that a strip stands for."""
        column, states = self._column._replace(scene=frame.scene), frame.scene.states[row]
        area = dot(self._column, row)
        sizes = np.where(states == ACTIVE, area, np.where(states == CARRIED, 0.45 * area, 1.25 * area))
        sizes = np.where(states == IDLE, 2.2, sizes)
        return np.where(column.wired(row) & (states != IDLE), sizes, 0.0) if column.is_strip(row) else sizes

    def _set_links(self, frame: Frame, places: Sequence[np.ndarray]) -> None:
        rows = frame.scene.rows
        for within, lines in zip((False, True), self._links, strict=True):
            segments = [
                segment
                for link in frame.scene.links
                if (rows[link.source].stage == rows[link.target].stage) == within
                if not (self._column.is_strip(link.source) and len(link.neurons) > 100)
                for segment in np.stack([places[link.source][link.neurons], places[link.target][link.neurons]], 1)
            ]
            lines.set(segments=segments, color=MUTED, linewidth=0.5, alpha=0.9 if within else 0.6)

    def _set_biases(self, a: Frame, b: Frame, share: float, places: Sequence[np.ndarray]) -> None:
        column = self._column
        sizes = sizes_between(a.scene.biases, b.scene.biases, share, [row.size for row in column.scene.rows])
        segments, colours = [], list[str]()
        for (_, row), values in sizes.items():
            chosen = np.flatnonzero(values) if not column.is_strip(row) else np.zeros(0, dtype=int)
            at = places[row][chosen]
            x = at[:, 0] - (0.5 * dot(column, row) ** 0.5 + 1.1) / (72 * column.width)
            ends = at[:, 1] + BIAS * values[chosen]
            segments += list(np.stack([np.stack([x, at[:, 1]], 1), np.stack([x, ends], 1)], 1))
            colours += np.where(values[chosen] > 0, WIRE_POSITIVE, WIRE_NEGATIVE).tolist()
        self._biases.set(segments=segments, color=colours or INK, linewidth=1.3)

    def _draw_curve(self, axes: Axes) -> None:
        """The loss over the animation's time, and the phases."""
        starts = [next(p for p, (i, _) in enumerate(self._pace) if i >= k) for k in range(len(self.frames) - 1)]
        self._at = np.array([*starts, self.pictures - 1], dtype=float)
        self._losses = np.maximum([frame.loss for frame in self.frames], 1e-30)
        axes.plot(self._at, self._losses, color=POSITIVE, lw=1.1)
        (self._marker,) = axes.plot([], [], "o", color=INK, ms=4.5, mec="white", mew=0.8, zorder=5, clip_on=False)
        axes.set(yscale="log", xlim=(0, self.pictures - 1), xticks=[], ylabel="loss")
        axes.tick_params(axis="y", labelsize=6)
        axes.minorticks_off()
        names = [frame.phase for frame in self.frames]
        for k in range(1, len(names)):
            if names[k] != names[k - 1]:
                x = self._at[k - 1]
                if k > 1:
                    axes.axvline(x, color=PALE, lw=0.7, zorder=0)
                room = self._at[max(i for i in range(len(names)) if names[i] == names[k])] - x
                if room / self.pictures * 72 * self._column.width > measure(names[k], 6.0)[0] + 4:
                    across = axes.get_xaxis_transform()
                    axes.text(x, 1.0, f" {names[k]}", transform=across, fontsize=6, color=MUTED, va="bottom")


def _page(column: Column) -> tuple[Figure, Axes, Axes]:
    """The figure, and its two panels."""
    left = EDGE + max(measure(row_label(column, row), 7.5)[0] for row in column.rows) / 72 + 0.36
    right = EDGE + 0.1 + max(measure(f"{row.size:,}/{row.size:,}", 6.0)[0] for row in column.scene.rows) / 72
    tall = max(column.high - column.low, 1.0) * column.pitch
    wide, high = left + column.width + right, EDGE + CURVE + BETWEEN + tall + 0.3 + TITLE
    figure = Figure(figsize=(wide, high))
    axes = figure.add_axes((left / wide, (EDGE + CURVE + BETWEEN) / high, column.width / wide, tall / high))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(column.low, max(column.high, column.low + 1)))
    return figure, axes, figure.add_axes((left / wide, EDGE / high, column.width / wide, CURVE / high))


def _lines(axes: Axes, z: float, style: object) -> LineCollection:
    lines = LineCollection([], linestyles=[style], capstyle="butt", zorder=z, clip_on=False)
    axes.add_collection(lines, autolim=False)
    return lines


def _told(frame: Frame) -> str:
    """The numbers of a frame, in words."""
    scene = frame.scene
    drawn = f" (the {MOST} strongest drawn)" if scene.active + scene.off_path > MOST else ""
    return f"step {frame.step:,} · {frame.phase} · held-out loss {frame.loss:.2g} · {scene.active:,} weights{drawn}"
