"""What is left of a score without each combination of modules (paper, Figure 5): bars, and below them what is out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from bimt_tf.errors import InputError
from bimt_tf.figures.style import ACCENT, INK, MODULE_MARKERS, MODULES, MUTED, PALE

__all__ = ["Knockout", "draw_knockouts"]

NUMBERED = 12  # bars at most that have their number written above them


class Knockout(NamedTuple):
    """``out``: the numbers of the modules without which the network has these scores, 0 to 1.

    ``zero``: their neurons set to 0; ``mean``: set to their means over the examples.
    """

    out: tuple[int, ...]
    zero: float
    mean: float


def draw_knockouts(
    bars: Axes,
    marks: Axes,
    knockouts: Sequence[Knockout],
    *,
    chance: float,
    published: Mapping[str, float] | None = None,
) -> None:
    """Draw into two panels that stand above each other, inside ``rc_context(STYLE)``.

    Args:
        bars: the upper panel, one bar a combination: neurons set to 0; a diamond: set to their means.
        marks: the lower panel, one row a module: a filled mark where it is out, in its colour and shape.
        knockouts: one a combination, in the order in which they are drawn.
        chance: the score of guessing, drawn as a line.
        published: name -> a score that others found without one module; lines across the bars of one module.

    Raises:
        InputError: for no combination.
    """
    if not knockouts:
        raise InputError("draw_knockouts needs at least one combination of modules")
    at = np.arange(len(knockouts))
    bars.bar(at, [one.zero for one in knockouts], width=0.7, color=[_colour(one) for one in knockouts], lw=0, zorder=2)
    bars.plot(at, [one.mean for one in knockouts], ls="none", marker="D", ms=2.8, mfc="white", mec=INK, mew=0.6,
              zorder=4, label="set to their means")  # fmt: skip
    if len(knockouts) <= NUMBERED:
        for x, one in enumerate(knockouts):
            bars.text(x, max(one.zero, one.mean) + 0.035, f"{one.zero:.0%}", ha="center", va="bottom", fontsize=6)
    bars.axhline(chance, color=MUTED, lw=0.6, ls=(0, (1, 1.5)), zorder=3, label="guessing")
    singles = [x for x, one in enumerate(knockouts) if len(one.out) == 1]
    for value in (published or {}).values():
        if singles:
            bars.plot([singles[0] - 0.45, singles[-1] + 0.45], [value, value], color=ACCENT, lw=1.0, zorder=5)
    if published and singles:
        bars.plot([], [], color=ACCENT, lw=1.0, label="the paper's, one of its three modules out")
    bars.set(xlim=(-0.6, len(at) - 0.4), ylim=(0, 1.12), ylabel="held-out accuracy", xticks=[])
    bars.yaxis.set_major_formatter(PercentFormatter(1.0))
    bars.legend(loc="upper right", handlelength=1.4, borderaxespad=0.1)
    _draw_marks(marks, knockouts)


def _colour(one: Knockout) -> str:
    """A single module's own colour; grey of several, dark of the whole network."""
    return MODULES[(one.out[0] - 1) % len(MODULES)] if len(one.out) == 1 else PALE if one.out else INK


def _draw_marks(axes: Axes, knockouts: Sequence[Knockout]) -> None:
    numbers = sorted({number for one in knockouts for number in one.out})
    for row, number in enumerate(numbers):
        colour, shape = MODULES[(number - 1) % len(MODULES)], MODULE_MARKERS[(number - 1) % len(MODULE_MARKERS)]
        out = [x for x, one in enumerate(knockouts) if number in one.out]
        kept = [x for x, one in enumerate(knockouts) if number not in one.out]
        axes.scatter(kept, [row] * len(kept), s=3, color=PALE, lw=0, zorder=2)
        axes.scatter(out, [row] * len(out), s=15, marker=shape, color=colour, lw=0, zorder=3)
    axes.set(xlim=(-0.6, len(knockouts) - 0.4), ylim=(len(numbers) - 0.5, -0.5), xticks=[])
    axes.set_yticks(range(len(numbers)), [f"module {number}" for number in numbers])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("modules that are knocked out")
