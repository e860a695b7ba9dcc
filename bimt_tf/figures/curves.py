"""Training curves: losses, the schedules that vary, connection cost and active weights over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from bimt_tf.errors import InputError
from bimt_tf.figures.style import ACCENT, BANDS, INK, MUTED, NEGATIVE, POSITIVE, STYLE

__all__ = ["curves_figure"]

SIZE = (6.2, 5.6)  # inches
SCHEDULE_HEIGHT = 0.75  # inches a panel
MANY_PHASES = 8  # beyond which lambda has a panel of its own, and is not written over its phases
PHASE_FONT, PHASE_ROW = 7, 9  # points: the size of the phases' words, and how far apart their rows are
LETTER = 0.64  # width of a digit, of the font's size
PANEL_WIDTH = 370  # points, of the 6.2 inches: what the names of the axes leave
DECADES = 4  # that a schedule's panel shows below its largest value


def curves_figure(records: Sequence[Mapping[str, Any]], widths: Sequence[float] | None = None) -> Figure:
    """Panels over the training step: losses (log), the schedules that vary, connection cost (log), active weights.

    The schedules are the learning rate, lambda and the width A. A lambda of few values is no panel: its phases are
    shaded, and named on top.

    Args:
        records: lines of metrics.jsonl, each with ``step`` and any of ``loss``, ``test_loss``, ``cost``, ``lam``,
            ``lr``, ``active``. Missing and None mean not measured at that step; NaN and infinity are gaps in the line.
        widths: the width A at each record's step; not drawn unless given.

    Raises:
        InputError: when there is no record, or one without a step, or not a width for each.
    """
    if not records:
        raise InputError("curves_figure needs at least one record, found none")
    for record in records:
        if record.get("step") is None:
            raise InputError(f"a record of metrics.jsonl has no step: {dict(record)!r}")
    if widths is not None and len(widths) != len(records):
        raise InputError(f"widths must be one for each of the {len(records)} records, found {len(widths)}")
    phases = _phases(*_series(records, "lam"))
    schedules = _schedules(records, phases, widths)
    with rc_context(STYLE):
        extra = SCHEDULE_HEIGHT * len(schedules)
        figure = Figure(figsize=(SIZE[0], SIZE[1] + extra), layout="constrained")
        ratios = (1.25, *(0.5 for _ in schedules), 1, 1)
        loss, *varying, cost, active = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
        for axes, (label, series) in zip(varying, schedules.items(), strict=True):
            _draw_schedule(axes, *series, label=label)
        _draw(loss, *_series(records, "loss"), label="training loss", color=POSITIVE)
        _draw(loss, *_series(records, "test_loss"), label="test loss", color=NEGATIVE, ls=(0, (4, 1.5)))
        _finish(loss, "loss", log=True)
        _draw(cost, *_series(records, "cost"), color=INK)
        _finish(cost, "connection cost", log=True)
        _draw(active, *_series(records, "active"), color=ACCENT)
        _finish(active, "active weights", log=False)
        if len(phases) <= MANY_PHASES:
            _draw_phases((loss, *varying, cost, active), phases)
        if loss.lines:
            loss.legend(loc="best")
        active.set_xlabel("step")
        active.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        active.xaxis.set_major_formatter(EngFormatter(sep=""))
        active.margins(x=0.01)
        figure.align_ylabels([loss, *varying, cost, active])
    return figure


def _series(records: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which ``key`` was measured, and its values, NaN where they are not finite."""
    measured = [(record["step"], record[key]) for record in records if record.get(key) is not None]
    steps, values = np.array(measured, dtype=float).reshape(-1, 2).T
    return steps, np.where(np.isfinite(values), values, np.nan)


def _draw(axes: Axes, steps: np.ndarray, values: np.ndarray, **style: Any) -> None:
    """A line with gaps; a dot where a value stands alone between gaps."""
    known = np.isfinite(values)
    if not known.any():
        return
    axes.plot(steps, values, **style)
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    if alone.any():
        axes.plot(steps[alone], values[alone], "o", ms=2.5, color=style["color"])


def _finish(axes: Axes, label: str, log: bool) -> None:
    """Name the axis and scale it; a panel with nothing to show says so."""
    axes.set_ylabel(label)
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.array([])])
    values = values[np.isfinite(values)]
    if not values.size:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=MUTED)
    elif log and (values > 0).any():
        axes.set_yscale("log", nonpositive="mask")
    else:
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        axes.set_ylim(1.05 * low, 1.05 * high if high > low else 1)  # a constant line shall not lie on the edge
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=not log))
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def _phases(steps: np.ndarray, lam: np.ndarray) -> list[tuple[float, float, float]]:
    """(first step, last step, lambda) of each run of records with one lambda."""
    known = np.isfinite(lam)
    steps, lam = steps[known], lam[known]
    if not lam.size:
        return []
    starts = np.r_[0, np.flatnonzero(np.diff(lam)) + 1]
    borders = [*steps[starts], steps[-1]]
    return [(a, b, value) for (a, b), value in zip(pairwise(borders), lam[starts], strict=True)]


def _draw_phases(panels: Sequence[Axes], phases: list[tuple[float, float, float]]) -> None:
    """Every other phase shaded in all panels, each named by its lambda on top."""
    top = panels[0]
    for i, (start, end, _) in enumerate(phases):
        for axes in panels if i % 2 else ():
            axes.axvspan(start, end, color=BANDS[0], lw=0, zorder=0).set_gid("phase")
    texts = [f"λ = {value:g}" if i == 0 else f"{value:g}" for i, (*_, value) in enumerate(phases)]
    for text, (start, end, _), row in zip(texts, phases, _rows(texts, phases), strict=True):
        top.annotate(
            text,
            ((start + end) / 2, 1),
            (0, 3 + PHASE_ROW * row),
            xycoords=top.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=PHASE_FONT,
            color=MUTED,
        )


def _rows(texts: Sequence[str], phases: Sequence[tuple[float, float, float]]) -> list[int]:
    """The row above the panel, from 0, that each word stands in, so that none covers another: the first with room."""
    ends: list[float] = []  # where the last word of each row ends, in points
    rows = []
    for text, (start, end, _) in zip(texts, phases, strict=True):
        span = phases[-1][1] - phases[0][0]
        middle = PANEL_WIDTH * (start + end) / 2 / span if span else 0.0
        left, right = middle - LETTER * PHASE_FONT * len(text) / 2, middle + LETTER * PHASE_FONT * (len(text) / 2 + 1)
        row = next((i for i, taken in enumerate(ends) if taken <= left), len(ends))
        ends[row : row + 1] = [right]
        rows.append(row)
    return rows


def _schedules(
    records: Sequence[Mapping[str, Any]], phases: Sequence[object], widths: Sequence[float] | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label -> steps and values of what varies."""
    found = {"learning rate": _series(records, "lr")}
    if len(phases) > MANY_PHASES:
        found["λ"] = _series(records, "lam")
    if widths is not None:
        found["width A"] = np.array([record["step"] for record in records], dtype=float), np.array(widths, dtype=float)
    return {label: series for label, series in found.items() if len(np.unique(series[1][np.isfinite(series[1])])) > 1}


def _draw_schedule(axes: Axes, steps: np.ndarray, values: np.ndarray, *, label: str) -> None:
    """A schedule's panel: logarithmic where its values above 0 span more than a decade, the lowest falling below."""
    _draw(axes, steps, values, color=MUTED, drawstyle="steps-pre")
    axes.set_ylabel(label)
    positive, largest = values[values > 0], float(np.nanmax(values))
    if label != "width A" and positive.max() > 10 * positive.min():
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(max(10**-DECADES * largest, 0.5 * float(positive.min())), 2 * largest)
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, 1.1 * largest)
        axes.yaxis.set_major_locator(MaxNLocator(3))
