"""Where a quantity can be read in a network, beside who carries it (paper, Section 3.4): one row of stages for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.errors import InputError
from bimt_tf.figures.style import ACCENT, INK, MUTED, NEGATIVE, POSITIVE, STYLE

__all__ = ["Carrier", "Reading", "carriers_figure"]

LEAST = 1e-8  # 1 - R2 that is drawn
COLOURS, MARKERS = (POSITIVE, NEGATIVE, ACCENT), ("o", "s", "^")


class Reading(NamedTuple):
    """Held-out R2 of a linear read-out at one stage and token: trained, and of the untrained network; None: nothing."""

    stage: str
    token: str
    value: float | None
    untrained: float | None


class Carrier(NamedTuple):
    """The smallest set of a stage that moves the output: ``neurons`` at ``token``, its ``share`` with an interval."""

    stage: str
    token: str
    neurons: Sequence[int]
    share: float
    low: float
    high: float


def carriers_figure(
    readings: Sequence[Reading], carriers: Sequence[Carrier], *, quantity: str, inputs: float | None, title: str = ""
) -> Figure:
    """Left: what the read-out leaves, a line a token, dotted of the untrained network. Right: the smallest sets.

    Args:
        readings: by stage, then token.
        carriers: in the order of stages.
        quantity: what is read.
        inputs: R2 of the same read-out from the input that tells most, a grey line.
        title: above the figure.

    Raises:
        InputError: for no reading.
    """
    if not readings:
        raise InputError("carriers_figure needs at least one reading")
    stages = list(dict.fromkeys(one.stage for one in readings))
    tokens = list(dict.fromkeys(one.token for one in readings))
    with rc_context(STYLE):
        figure = Figure(figsize=(6.6, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        for token, colour, marker in zip(tokens, COLOURS, MARKERS, strict=False):
            own = [one for one in readings if one.token == token]
            at = [stages.index(one.stage) for one in own]
            for trained in (True, False):
                shown = [_left(one.value if trained else one.untrained) for one in own]
                left.plot(at, shown, "-" if trained else ":", color=colour, marker=marker, ms=4 if trained else 2.5,
                          lw=1.2, label=token if trained else None, alpha=1 if trained else 0.6)  # fmt: skip
        if inputs is not None:
            left.axhline(1 - inputs, color=MUTED, lw=0.7, ls="--", zorder=0)
            left.annotate("best input alone", (len(stages) - 1, 1 - inputs), (0, 2), textcoords="offset points",
                          fontsize=6, color=MUTED, ha="right", va="bottom")  # fmt: skip
        left.set_xticks(range(len(stages)), stages)
        left.set(yscale="log", ylabel="1 − held-out $R^2$", title=f"left by a linear read-out of {quantity}")
        left.legend(loc="lower left", title="token (dotted: untrained)", title_fontsize=6)
        for place, one in enumerate(carriers):
            right.barh(place, one.share, color=POSITIVE, height=0.55, alpha=0.85)
            right.plot((one.low, one.high), (place, place), color=INK, lw=1.2)
            said = f"neuron{'s' * (len(one.neurons) > 1)} {', '.join(map(str, one.neurons))}"
            right.text(0.02, place, said, fontsize=7, color="white", va="center")
        right.set_yticks(range(len(carriers)), [f"{one.stage}, {one.token}" for one in carriers])
        right.set(xlim=(0, 1.02), xlabel=f"share of the way to another {quantity}")
        right.set_title("smallest sets that move the output")
        if title:
            figure.suptitle(title, fontsize=9, weight="bold", x=0.01, ha="left")
    return figure


def _left(value: float | None) -> float:
    """What a read-out of this R2 leaves, at most all of it."""
    return float("nan") if value is None else min(1.0, max(1 - value, LEAST))
