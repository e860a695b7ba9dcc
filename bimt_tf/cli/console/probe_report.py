"""What ``bimt probe`` and ``bimt probe-map`` read and print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bimt_tf.cli.console.reports import wide_console
from bimt_tf.errors import InputError

if TYPE_CHECKING:
    from bimt_tf.analysis.probe_map import ProbeMap
    from bimt_tf.analysis.probe_results import HowMade, ProbeResult

__all__ = ["print_map", "print_probe", "read_values"]

SHOWN_ROWS = 8  # neurons and pairs of a probe's table


def read_values(path: Path) -> Any:
    """The array of a NumPy file, one number or class a held-out example.

    Raises:
        InputError: for a file that cannot be read or holds anything but numbers.
    """
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read {path}: a NumPy file (.npy) of numbers is needed") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise InputError(f"{path} holds no array of numbers: numpy.save writes one")
    return found


def print_probe(result: ProbeResult) -> None:
    """The population, its baselines and control, the best neurons and pairs, held-out scores each; how it was made."""
    score = "R2" if result.kind == "numbers" else "Brier skill score"
    table = Table(title=f"{result.target} in {result.where} (held-out {score})", title_justify="left", box=None)
    for column in ("what is read", "linear", "nonlinear"):
        table.add_column(column, no_wrap=True)
    for row in result.rows(SHOWN_ROWS):
        table.add_row(*row)
    console = wide_console()
    console.print(table)
    console.print(_made(result.made), soft_wrap=True)
    if reason := result.population.linear.reason:
        console.print(f"undefined: {reason}", soft_wrap=True)
    console.print()


def print_map(found: ProbeMap) -> None:
    """A row a place, and where the quantity is made."""
    score = "R2" if found.kind == "numbers" else "Brier skill score"
    table = Table(
        title=f"{found.target}, {found.regressor} read-out (held-out {score})", title_justify="left", box=None
    )
    for column in found.columns():
        table.add_column(column, no_wrap=True)
    for row in found.rows():
        table.add_row(*row)
    console = wide_console()
    console.print(table)
    for hook, earlier in found.repeated.items():
        console.print(f"{hook} holds the activations of {earlier}", soft_wrap=True)
    for reason in dict.fromkeys(one.read_out.reason for one in found.cells if one.read_out.reason):
        console.print(f"undefined: {reason}", soft_wrap=True)
    if found.chance is not None:
        console.print(f"accuracy of always naming the most frequent class: {found.chance:.1%}")
    if found.cells:
        console.print(_made(found.cells[-1].made), soft_wrap=True)
    places = "; ".join(f"{one.where} ({_gained(one.gain_before)})" for one in found.appears)
    console.print(f"made at (gain over stage before): {places or 'no place'}", soft_wrap=True)


def _gained(gain: Any) -> str:
    return "the first stage" if gain is None else f"+{gain}"


def _made(made: HowMade) -> str:
    folds = f"{made.n_test:,} held out" if made.folds == 1 else f"each held out once, in {made.folds} parts"
    shown = f"{made.examples:,} examples, {made.units:,} distinct inputs ({made.unit}): {folds}"
    drawn = f"{made.resamples:,} bootstrap draws over held-out distinct inputs"
    return f"{shown}; intervals: {made.level:.0%}, {drawn}; seed {made.seed}"
