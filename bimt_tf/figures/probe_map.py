"""Where a quantity appears: read-outs and gains of every stage and token as heat maps side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, MUTED, SEQUENTIAL, STYLE

if TYPE_CHECKING:
    from bimt_tf.analysis.probe_map import ProbeMap

__all__ = ["probe_map_figure"]

DIVERGING = "PuOr_r"  # orange for gains, purple for losses: told apart by colour-blind readers
LINEAR, MOST = 0.01, 1.0  # a gain's colour is linear up to the first, logarithmic up to the second
ROW, CELL = 0.19, 0.43  # inches of a row's height, of a token's width
MOST_NUMBERS = 12  # tokens up to which cells hold numbers
LABELS, BESIDES = 1.5, 0.4  # inches left of the first panel, and of each panel's margins
OVER = 1.1  # inches above and below the rows


class _Panel(NamedTuple):
    title: str
    name: str
    gain: bool


PANELS = (
    _Panel("read-out", "read_out", False),
    _Panel("gain over\nthe inputs", "gain_inputs", True),
    _Panel("gain over the\nstage before", "gain_before", True),
    _Panel("read-out, same\nnet untrained", "untrained", False),
)


def probe_map_figure(found: ProbeMap, *, tokens: Sequence[str] = ()) -> Figure:
    """Heat maps of a probe map: stages from top to bottom as the network computes them, tokens from left to right.

    A frame marks where the quantity is made: gains over the inputs and over the stage before that are beyond doubt.
    Gains whose interval holds 0 are written in grey on no colour; a dash stands where something is undefined or does
    not exist.

    Args:
        found: the map.
        tokens: what the tokens are called; their numbers unless given.

    Raises:
        InputError: for a map without places, or names of another number of tokens.
    """
    if not found.cells:
        raise InputError("a probe map without places cannot be drawn")
    places = list(dict.fromkeys(cell.place for cell in found.cells))
    positions = sorted({cell.position for cell in found.cells}, key=lambda one: -1 if one is None else one)
    names = list(tokens) or ["all" if one is None else str(one) for one in positions]
    if len(names) != len(positions):
        raise InputError(f"tokens must hold {len(positions)} names, found {len(names)}")
    at = {(cell.place, cell.position): cell for cell in found.cells}
    made = [(places.index(cell.place), positions.index(cell.position)) for cell in found.appears]
    shown = [panel for panel in PANELS if any(getattr(cell, panel.name) is not None for cell in found.cells)]
    with rc_context(STYLE):
        width = CELL * max(2, min(len(positions), 3 * MOST_NUMBERS)) + BESIDES
        figure = Figure(figsize=(LABELS + width * len(shown), OVER + ROW * len(places)), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
            grid = [[getattr(at.get((place, one)), panel.name, None) for one in positions] for place in places]
            there = [[(place, one) in at for one in positions] for place in places]
            _panel(figure, axes, panel, grid, there)
            for row, column in made if panel.name == "read_out" else ():
                axes.add_patch(
                    Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=INK, lw=1.4, zorder=3, clip_on=False)
                )
            axes.set_title(panel.title, fontsize=8, loc="center")
            step = -(-len(names) // MOST_NUMBERS)
            axes.set_xticks(range(0, len(names), step), names[::step])
            axes.set_yticks(range(len(places)), [_short(place) for place in places])
            if positions != [None]:
                axes.set_xlabel("token", fontsize=7)
        score = "$R^2$" if found.kind == "numbers" else "Brier skill score"
        frame = "; framed: made here" if made else ""
        figure.suptitle(f"{found.target}, {found.regressor} read-out: held-out {score}{frame}", x=0.01, ha="left",
                        fontsize=9)  # fmt: skip
    return figure


def _panel(figure: Figure, axes: Axes, panel: _Panel, grid: list[list[Any]], there: list[list[bool]]) -> None:
    values = np.array([[np.nan if one is None or one.value is None else one.value for one in row] for row in grid])
    doubted = np.array([[panel.gain and _doubted(one) for one in row] for row in grid])
    norm = SymLogNorm(LINEAR, vmin=-MOST, vmax=MOST, clip=True) if panel.gain else Normalize(0, 1, clip=True)
    image = axes.imshow(
        np.ma.masked_invalid(np.where(doubted, 0, values)),
        cmap=DIVERGING if panel.gain else SEQUENTIAL,
        norm=norm,
        aspect="auto",
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(grid)):
        axes.axhline(edge - 0.5, color="white", lw=0.5)
    for edge in range(1, values.shape[1]):
        axes.axvline(edge - 0.5, color="white", lw=0.5)
    for (row, column), value in np.ndenumerate(values) if values.shape[1] <= MOST_NUMBERS else ():
        if there[row][column]:
            text = "–" if np.isnan(value) else f"{value:+.3f}" if panel.gain else f"{value:.3f}"
            colour = MUTED if np.isnan(value) or doubted[row, column] else _ink(value, image)
            axes.text(
                column,
                row,
                "0" if text[1:] == "0.000" or text == "0.000" else text,
                ha="center",
                va="center",
                fontsize=5.5,
                color=colour,
            )
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9, pad=0.02, aspect=14,
                          ticks=[-1, -0.1, 0, 0.1, 1] if panel.gain else [0, 0.5, 1])  # fmt: skip
    bar.ax.xaxis.set_major_formatter("{x:g}")
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=6, length=2)
    bar.outline.set_visible(False)


def _ink(value: float, image: Any) -> str:
    """The colour of a number that can be read on its cell's own."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK


def _doubted(score: Any) -> bool:
    """Whether 0 is in the interval of a gain, or there is none."""
    return score is None or score.low is None or score.high is None or bool(score.low <= 0 <= score.high)


def _short(place: str) -> str:
    """A hook without the words that all of them have: ``block 0 attn.z`` for blocks.0.attn.hook_z."""
    words = re.sub(r"^(block|layer)s\.(\d+)\.", r"\1 \2 ", place)
    return words.replace("hook_", "")
