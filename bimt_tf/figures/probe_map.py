"""Where a quantity appears: read-outs and gains of every stage and token as heat maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import INK, MUTED, PALE, SEQUENTIAL, STYLE

__all__ = ["probe_map_figure"]

DIVERGING = "PuOr_r"  # orange for gains, purple for losses: told apart by colour-blind readers
ROW, CELL = 0.19, 0.43  # inches of a row's height, of a token's width
MOST_NUMBERS = 12  # tokens up to which cells hold numbers
LABELS, BESIDES = 1.5, 0.5  # inches left of the first panel, and of each panel's colour bar and margins
OVER = 0.95  # inches above and below the rows


class Cell(Protocol):
    """A place, as analysis/probe_map.py tells of it."""

    @property
    def place(self) -> str: ...
    @property
    def position(self) -> int | None: ...


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


def probe_map_figure(cells: Sequence[Any], *, target: str, score: str = "$R^2$", tokens: Sequence[str] = ()) -> Figure:
    """Heat maps of a probe map: stages from top to bottom as the network computes them, tokens from left to right.

    Gains whose interval holds 0 are written in grey; where something is undefined or does not exist, a dash stands.

    Args:
        cells: the cells of a probe map.
        target: what is read.
        score: what the numbers are.
        tokens: what the tokens are called; their numbers unless given.

    Raises:
        InputError: for no cells, or names of another number of tokens.
    """
    if not cells:
        raise InputError("a probe map without places cannot be drawn")
    places = list(dict.fromkeys(cell.place for cell in cells))
    positions = sorted({cell.position for cell in cells}, key=lambda one: -1 if one is None else one)
    names = list(tokens) or ["all" if one is None else str(one) for one in positions]
    if len(names) != len(positions):
        raise InputError(f"tokens must hold {len(positions)} names, found {len(names)}")
    at = {(cell.place, cell.position): cell for cell in cells}
    shown = [panel for panel in PANELS if any(getattr(cell, panel.name) is not None for cell in cells)]
    with rc_context(STYLE):
        panel_width = CELL * max(2, min(len(positions), 3 * MOST_NUMBERS)) + BESIDES
        size = (LABELS + panel_width * len(shown), OVER + ROW * len(places))
        figure = Figure(figsize=size, layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
            grid = [[getattr(at.get((place, one)), panel.name, None) for one in positions] for place in places]
            _panel(figure, axes, panel, grid)
            axes.set_title(panel.title, fontsize=8, loc="center")
            step = -(-len(names) // MOST_NUMBERS)
            axes.set_xticks(range(0, len(names), step), names[::step])
            axes.set_yticks(range(len(places)), [_short(place) for place in places])
        figure.suptitle(f"{target}: held-out {score}", x=0.01, ha="left", fontsize=9)
        figure.supxlabel("token", fontsize=8, color=INK)
    return figure


def _panel(figure: Figure, axes: Axes, panel: _Panel, grid: list[list[Any]]) -> None:
    values = np.array([[np.nan if one is None or one.value is None else one.value for one in row] for row in grid])
    norm: Normalize = Normalize(0, 1, clip=True)
    if panel.gain:
        most = float(np.clip(np.nanmax(np.abs(values), initial=0.1), 0.1, 1))
        norm = TwoSlopeNorm(0, -most, most)
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=DIVERGING if panel.gain else SEQUENTIAL, norm=norm, aspect="auto"
    )
    axes.set_facecolor("white")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(grid)):
        axes.axhline(edge - 0.5, color="white", lw=0.5)
    for edge in range(1, values.shape[1]):
        axes.axvline(edge - 0.5, color="white", lw=0.5)
    if values.shape[1] <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            text, colour = ("–", PALE) if np.isnan(value) else _number(grid[row][column], panel, image)
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=colour)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.85, pad=0.02, aspect=14)
    bar.outline.set_visible(False)  # type: ignore[operator]  # Matplotlib's stubs take it for a bare Spine
    bar.ax.tick_params(labelsize=6, length=2)


def _number(score: Any, panel: _Panel, image: Any) -> tuple[str, str]:
    """A cell's number and its colour, which can be read on the cell's own."""
    red, green, blue, _ = image.cmap(image.norm(score.value))
    dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
    text = f"{score.value:+.2f}" if panel.gain else f"{score.value:.3f}"
    if text in ("-0.000", "-0.00", "+0.00"):
        text = text[1:]
    open_to_doubt = panel.gain and (score.low is None or score.high is None or score.low <= 0 <= score.high)
    return text, "white" if dark else MUTED if open_to_doubt else INK


def _short(place: str) -> str:
    """A hook without the words that all of them have: ``0 attn.z`` for blocks.0.attn.hook_z."""
    return place.replace("blocks.", "").replace("hook_", "").replace(".", " ", 1)
