"""A small text view of a network: a scene (scene/scene.py) in lines of characters, the output at the top.

A row of the scene is a line: a mark for each neuron at its slot, scaled to the width of the terminal, heads between
bars. A row with more neurons than fit is drawn by bins, whose shade is the share of neurons that are active. The lines
between rows say how many wires each matrix has, and which is the strongest. Of a deep network both ends are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from rich.text import Text

from bimt_tf.scene.rows import BLOCK
from bimt_tf.scene.scene import ACTIVE, CARRIED, DEAD_END, IDLE, NO_INPUT, Scene
from bimt_tf.scene.wires import Wires

__all__ = ["ASCII", "UNICODE", "Signs", "network_lines"]

LEAST, WIDEST = 30, 100  # columns of the whole view
NAME, COUNT = 10, 12  # columns of a row's name and of its number of neurons on paths, at most
CROWDED = 2.0  # neurons a column from which a row is drawn in bins
DEEP = 36  # rows beyond which the middle of a network is left out
KEPT = 14  # rows that are then shown at each end, at least
POSITIVE, NEGATIVE, FAINT = "bright_blue", "dark_orange", "dim"


class Signs(NamedTuple):
    """The characters of a view: of each state (by its number), of bins from few to all active, and of lines."""

    states: tuple[str, ...]
    shades: str
    bar: str
    wire: str
    arrow: str
    minus: str
    between: str
    more: str


UNICODE = Signs(("·", "×", "△", "○", "●"), "░▒▓█", "│", "┆", "→", "−", " · ", "⋮")  # noqa: RUF001
ASCII = Signs((".", "x", "^", "o", "*"), "-=#@", "|", ":", "->", "-", ", ", ":")
"""For terminals that cannot write the others."""

_WORDS = {ACTIVE: "active", CARRIED: "carried on", DEAD_END: "dead end", NO_INPUT: "no input", IDLE: "no weights"}
_RANK = (ACTIVE, CARRIED, DEAD_END, NO_INPUT, IDLE)  # of several neurons in one column the first is shown


def network_lines(
    scene: Scene, width: int, signs: Signs = UNICODE, labels: Mapping[str, Sequence[str]] | None = None
) -> list[Text]:
    """The lines of a scene, from its output to its input, and a key.

    Args:
        scene: what is drawn.
        width: columns; fewer than LEAST count as LEAST, more than WIDEST as WIDEST.
        signs: the characters, UNICODE or ASCII.
        labels: stage name -> a name for each of its neurons, which the strongest wires are named by.
    """
    view = _View(scene, min(max(width, LEAST), WIDEST), signs, labels or {})
    shown, left_out = _shown_rows(scene)
    lines: list[Text] = []
    for number in sorted(shown, reverse=True):
        lines.append(view.row(number))
        lines += view.wires_into(number)
        if left_out and number - 1 == left_out[-1]:
            lines.append(view.gap(left_out))
    return [*lines, *view.key(shown)]


def _shown_rows(scene: Scene) -> tuple[list[int], list[int]]:
    """(rows that are shown, rows that are left out); a cut is at a row that stands alone at its depth."""
    rows, every = scene.rows, list(range(len(scene.rows)))
    if len(rows) <= DEEP:
        return every, []
    alone = [i for i in every if sum(row.depth == rows[i].depth for row in rows) == 1]
    low = min((i for i in alone if i >= KEPT - 1), default=KEPT)
    high = max((i for i in alone if i <= len(rows) - KEPT), default=len(rows) - KEPT)
    left_out = every[low + 1 : high]
    return [i for i in every if i not in left_out], left_out


class _View:
    """A scene at a width."""

    def __init__(self, scene: Scene, width: int, signs: Signs, labels: Mapping[str, Sequence[str]]) -> None:
        self.scene, self.width, self.signs, self.labels = scene, width, signs, labels
        self.names = [row.title.removeprefix("block ") for row in scene.rows]  # of few columns
        counts = [f"{count:,}/{row.size:,}" for row, count in zip(scene.rows, scene.counts, strict=True)]
        self.counts = [count if len(count) <= COUNT else count.split("/")[0] for count in counts]
        self.left = min(max(map(len, self.names)), NAME)
        self.columns = width - self.left - 4 - max(map(len, self.counts))  # a space, two ends of heads, a space

    def row(self, number: int) -> Text:
        """A row's name, its neurons, and how many of them are on a path."""
        row = self.scene.rows[number]
        headed = 0 < len(row.boxes) <= self.columns // 3
        first, last = ("[", "]") if headed else (" ", " ")
        line = Text(f"{self.names[number][: self.left]:>{self.left}} ")
        line.append(first, FAINT).append_text(self._strip(number, headed)).append(last, FAINT)
        return line.append(f" {self.counts[number]}")

    def _at(self, number: int) -> Int[np.ndarray, " n"]:
        """The column of each neuron of a row."""
        return np.clip((self.scene.rows[number].x * self.columns).astype(int), 0, self.columns - 1)

    def _binned(self, at: Int[np.ndarray, " n"]) -> bool:
        return len(at) > CROWDED * len(np.unique(at))

    def _strip(self, number: int, headed: bool) -> Text:
        """The neurons, each in the column of its slot; bars between heads, at whose side a neuron makes room."""
        n, row, states, at = self.columns, self.scene.rows[number], self.scene.states[number], self._at(number)
        binned = self._binned(at)
        bars = {min(max(int(box.right * n), 1), n - 2): box.right for box in row.boxes[:-1] if headed}
        for bar, x in bars.items():
            at = np.where(at == bar, np.where(row.x < x, bar - 1, bar + 1), at)
        counts = np.bincount(at, minlength=n)
        active = np.bincount(at, states == ACTIVE, n)
        text = Text()
        for column in range(n):
            if column in bars:
                text.append(self.signs.bar, FAINT)
            elif not counts[column]:
                text.append(" ")
            elif binned:
                text.append(*self._shade(active[column] / counts[column]))
            else:
                here = set(states[at == column].tolist())
                text.append(*self._mark(next(state for state in _RANK if state in here)))
        return text

    def _shade(self, share: float) -> tuple[str, str]:
        level = int(np.ceil(share * len(self.signs.shades)))
        return (self.signs.shades[level - 1], "bold") if level else (self.signs.states[IDLE], FAINT)

    def _mark(self, state: int) -> tuple[str, str]:
        return self.signs.states[state], "bold" if state == ACTIVE else "" if state == CARRIED else FAINT

    def wires_into(self, number: int) -> Iterator[Text]:
        """A line for each matrix that reaches a row."""
        for wires in self.scene.wires:
            if wires.target == number:
                yield self._wires(wires)

    def _wires(self, wires: Wires) -> Text:
        """How many wires a matrix has, and the strongest; parts are left out where there is no room."""
        count = wires.positive + wires.negative
        name, number = _matrix(wires.parameter), f"{count:,} wire{'' if count == 1 else 's'}"
        gap = self.signs.between
        apart = f" from {self.names[wires.source]}" if wires.source != wires.target - 1 else ""
        lost = f"{gap}{wires.off_path:,} on no path" if wires.off_path else ""
        step, weight, style = self._strongest(wires)
        long, short = (f"{gap}{word}{step} " for word in ("strongest ", ""))
        heads = [
            *((f"{name}{middle}", weight, tail)
              for middle in (f"{apart}{gap}{number}{long}", f"{gap}{number}{long}", f"{gap}{number}{short}",
                             f"{gap}{number}{gap}")
              for tail in (lost, "") if weight),
            (f"{name}{apart}{gap}{number}", "", lost),
            (f"{name}{gap}{number}", "", ""),
        ]  # fmt: skip
        room = self.width - self.left - 4
        before, shown, behind = next((head for head in heads if len("".join(head)) <= room), heads[-1])
        line = Text(" " * (self.left + 2)).append(f"{self.signs.wire} {before[:room]}", FAINT)
        return line.append(shown, style).append(behind, FAINT)

    def _strongest(self, wires: Wires) -> tuple[str, str, str]:
        """(its neurons, its weight, a style); of a matrix without a drawn wire the largest |w| alone, if any."""
        if not len(wires.weights):
            return ("", f"|w| up to {wires.largest:.2g}", FAINT) if wires.largest else ("", "", "")
        best = int(np.argmax(np.abs(wires.weights)))
        weight = float(wires.weights[best])
        ends = (self._neuron(wires.source, wires.sources[best]), self._neuron(wires.target, wires.targets[best]))
        sign, style = ("+", POSITIVE) if weight > 0 else (self.signs.minus, NEGATIVE)
        return f" {self.signs.arrow} ".join(ends), f"{sign}{abs(weight):.3g}", style

    def _neuron(self, row: int, neuron: int) -> str:
        names = self.labels.get(self.scene.rows[row].stage)
        return names[int(neuron)] if names and names[int(neuron)] else str(int(neuron))

    def gap(self, left_out: Sequence[int]) -> Text:
        """What stands for rows that are left out."""
        inside = set(left_out)
        wires = sum(w.positive + w.negative for w in self.scene.wires if inside & {w.source, w.target})
        said = f"{self.signs.more} {len(left_out)} rows are left out, and {wires:,} wires at them"
        return Text(" " * (self.left + 2) + said, FAINT)

    def key(self, shown: Sequence[int]) -> list[Text]:
        """What the marks mean, those that occur, in as many lines as they need."""
        binned = {i for i in shown if self._binned(self._at(i))}
        present = {int(state) for i in set(shown) - binned for state in np.unique(self.scene.states[i])}
        above = "not zero" if self.scene.threshold == 0 else f"|w| > {self.scene.threshold:g}"
        parts = [f"{self.signs.states[state]} {_WORDS[state]}" for state in _RANK if state in present]
        parts += [f"{self.signs.shades} share that is active"] if binned else []
        left, lines = " " * (self.left + 2), [""]
        for part in [*parts, f"wires: {above}, on a path"]:
            if lines[-1] and len(left + lines[-1]) + 2 + len(part) > self.width:
                lines.append("")
            lines[-1] += f"  {part}" if lines[-1] else part
        return [Text((left + line)[: self.width], FAINT) for line in lines]


def _matrix(parameter: str) -> str:
    """A parameter's name without its block and what every one of its kind has."""
    name = BLOCK.sub("", parameter).replace(".original_component", "")
    return name.split(".")[-1] if name.startswith(("attn.W_", "mlp.W_", "embed.W_", "unembed.W_")) else name
