"""The key of a network's picture (network.py): what colours, lines and marks mean, and what the counts are of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bimt_tf.figures.network_neurons import MARKS
from bimt_tf.figures.network_page import Column, measure
from bimt_tf.figures.network_wires import DASHED, DOTTED, FULL, Look, crowded, width_of
from bimt_tf.figures.style import ACCENT, INK, MODULE_MARKERS, MODULES, MUTED, SEQUENTIAL, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.scene.scene import IDLE, STATES, Scene

__all__ = ["Entry", "bar_of", "draw_bar", "draw_entries", "draw_lines", "entries_of", "flowed", "notes_of", "wrapped"]

SIZE, NOTE = 6.5, 6.3  # font sizes
SYMBOL, GAP, LINE = 15.0, 9.0, 10.5  # points: of a symbol, between entries, between lines


class Entry(NamedTuple):
    """A symbol's Matplotlib style, and what it means."""

    style: dict[str, object]
    text: str


def entries_of(columns: list[Column], look: Look) -> list[Entry]:
    """What the picture of a scene has symbols for; only what occurs."""
    return [*_wire_entries(columns[0].scene, look), *_neuron_entries(columns, look)]


def _wire_entries(scene: Scene, look: Look) -> Iterator[Entry]:
    if look.wires == "sign":
        yield Entry({"color": WIRE_POSITIVE, "lw": 1.6}, f"positive ({scene.positive:,})")
        yield Entry({"color": WIRE_NEGATIVE, "lw": 1.6, "ls": DASHED}, f"negative ({scene.negative:,})")
    elif look.wires == "module":
        for number, name in enumerate(look.emphasis.modules):
            colour, marker = MODULES[number % len(MODULES)], MODULE_MARKERS[number % len(MODULE_MARKERS)]
            yield Entry({"color": colour, "lw": 1.6, "marker": marker, "ms": 4, "mec": INK, "mew": 0.4}, name[:40])
        yield Entry({"color": MUTED, "lw": 1.0}, "between modules")
        yield Entry({"color": MUTED, "lw": 1.2, "ls": DASHED}, "negative")
    if scene.off_path:
        yield Entry({"color": MUTED, "lw": 0.9, "ls": DOTTED}, f"on no path from input to output ({scene.off_path:,})")
    if scene.drawn:
        for share in (1.0, 0.3):
            yield Entry({"color": INK, "lw": width_of(share)}, f"|w| = {share:g} of its matrix's largest")


def _neuron_entries(columns: list[Column], look: Look) -> Iterator[Entry]:
    scene = columns[0].scene
    present = {int(state) for states in scene.states for state in np.unique(states)}
    for state, (marker, style) in MARKS.items():
        if state in present:
            face, edge = style.get("facecolor", style.get("color")), style.get("edgecolor", style.get("color"))
            size = {IDLE: 2.0}.get(state, 4.0)
            mark = {"ls": "", "marker": marker, "ms": size, "mfc": face, "mec": edge, "mew": 0.6}
            yield Entry(mark, f"neuron {STATES[state]}" if state == IDLE else STATES[state])
    if scene.biases:
        yield Entry({"ls": "", "marker": "|", "ms": 5, "color": WIRE_POSITIVE, "mew": 1.3}, "bias (up: positive)")
    if scene.links:
        yield Entry({"color": MUTED, "lw": 0.7, "ls": (0, (1, 2.5))}, "same neuron")
    if look.emphasis.rings:
        yield Entry({"ls": "", "marker": "o", "ms": 5, "mfc": "none", "mec": ACCENT, "mew": 1.2}, "highlighted")
    if any(column.is_strip(row) for column in columns for row in column.rows):
        yield Entry({"color": INK, "lw": 3.0}, "strip: share of active neurons")
    if scene.tables:
        names = "; ".join(f"{table.entries:,} of {table.parameter}" for table in scene.tables)
        yield Entry({"ls": "", "marker": "s", "ms": 4, "mfc": MUTED, "mec": "none"}, f"cells: size of entries, {names}")


def notes_of(scene: Scene, left_out: int) -> list[str]:
    """Sentences that say what is counted and what is to scale."""
    above = "not zero" if scene.threshold == 0 else f"|w| > {scene.threshold:g}"
    notes = [f"{scene.active:,} active weights of {scene.total:,}: {above}, on a path from input to output."]
    if not scene.active:
        notes.append("The network is severed: no path of weights leads from an input to an output.")
    if scene.dense:
        notes.append(f"Shading: |w| by neighbouring slots. Lines: the {scene.drawn:,} strongest of their matrices.")
    if crowded(scene):
        notes.append(f"Of more than {FULL} wires between two rows, the weaker ones fade by rank.")
    if scene.scale is None:
        notes.append("Neurons stand by their slots (width 0).")
    else:
        notes.append(f"Horizontal distances are true (width A = {scene.width:g}), heights are not.")
    if any(row.half for row in scene.rows):
        notes.append("Second coordinates are drawn upwards and aslant.")
    notes.append("Small figures: neurons by index; right: active neurons of all.")
    if left_out:
        notes.append(f"{left_out:,} names of neurons found no room.")
    return notes


def flowed(entries: list[Entry], width: float) -> list[list[Entry]]:
    """Entries in lines of at most ``width`` points."""
    lines: list[list[Entry]] = [[]]
    used = 0.0
    for entry in entries:
        own = SYMBOL + 3 + measure(entry.text, SIZE)[0] + GAP
        if lines[-1] and used + own > width:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += own
    return [line for line in lines if line]


def wrapped(text: str, size: float, width: float) -> list[str]:
    """A text in lines of at most ``width`` points, broken at spaces; a longer word keeps a line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and measure(longer, size)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def draw_entries(figure: Figure, lines: list[list[Entry]], left: float, top: float) -> None:
    """Lines of symbols and words from (left, top) in points downwards."""
    points = figure.dpi_scale_trans
    for number, line in enumerate(lines):
        x, y = left, top - (number + 0.5) * LINE
        for entry in line:
            ends = [x, x + SYMBOL] if entry.style.get("ls") != "" else [x + SYMBOL / 2]
            shown = Line2D([end / 72 for end in ends], [y / 72] * len(ends), transform=points, solid_capstyle="butt")
            shown.set(**entry.style)
            if "marker" in entry.style and len(ends) == 2:
                shown.set_markevery([0])
            figure.add_artist(shown)
            figure.text((x + SYMBOL + 3) / 72, y / 72, entry.text, transform=points, fontsize=SIZE,
                        va="center_baseline", parse_math=False, gid="key")  # fmt: skip
            x += SYMBOL + 3 + measure(entry.text, SIZE)[0] + GAP


def draw_lines(figure: Figure, lines: list[str], left: float, top: float) -> None:
    """Lines of small text from (left, top) in points downwards."""
    for number, line in enumerate(lines):
        figure.text(left / 72, (top - (number + 0.5) * LINE) / 72, line, transform=figure.dpi_scale_trans,
                    fontsize=NOTE, color=MUTED, va="center_baseline", parse_math=False, gid="note")  # fmt: skip


class Bar(NamedTuple):
    """A colour bar: its text, ends, and whether its colours are those of effects (reversed)."""

    text: str
    ends: tuple[float, float]
    effects: bool


def bar_of(look: Look, effects_name: str, values_name: str) -> list[Bar]:
    """The colour bars that a picture needs."""
    bars = [Bar(effects_name, look.effects, True)] if look.wires == "effect" else []
    return bars + ([Bar(values_name, look.values, False)] if look.emphasis.values is not None else [])


def draw_bar(figure: Figure, bar: Bar, left: float, top: float) -> None:
    """A colour bar, its text at its left, in a line of the key."""
    size = figure.get_size_inches()
    text = f"{bar.text}:"
    figure.text(left / 72, (top - LINE / 2) / 72, text, transform=figure.dpi_scale_trans, fontsize=SIZE,
                va="center_baseline", parse_math=False, gid="key")  # fmt: skip
    start = left + measure(text, SIZE)[0] + 26
    axes = figure.add_axes((start / 72 / size[0], (top - LINE + 3) / 72 / size[1], 1.1 / size[0], 5 / 72 / size[1]))
    colours = colormaps[SEQUENTIAL]
    if bar.effects:
        colours = LinearSegmentedColormap.from_list("effects", colours(0.95 * (1 - np.linspace(0, 1, 64))))
    figure.colorbar(ScalarMappable(Normalize(*bar.ends), colours), cax=axes, orientation="horizontal", ticks=[])
    for end, across, x in ((bar.ends[0], "right", start - 3), (bar.ends[1], "left", start + 1.1 * 72 + 3)):
        figure.text(x / 72, (top - LINE / 2) / 72, f"{end:.2g}", transform=figure.dpi_scale_trans, fontsize=SIZE,
                    ha=across, va="center_baseline", gid="key")  # fmt: skip
