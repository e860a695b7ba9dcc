"""What ``bimt wire`` prints: populations, and parameters if they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

from bimt_tf.cli.console.reports import print_line, wide_console

if TYPE_CHECKING:
    from bimt_tf.analysis.wiring_report import PopulationFacts, WiringReport

__all__ = ["print_wiring"]

BLOCK = re.compile(r"^blocks\.\d+\.")


def print_wiring(report: WiringReport, parameters: bool) -> None:
    """The populations, alike blocks in one line; and each parameter, if ``parameters``."""
    share = report.weights / report.parameters
    told = f"{report.parameters:,} parameters, {report.weights:,} of them weights between populations ({share:.0%})"
    print_line(f"{report.model}: {told}")
    table = Table(box=None)
    for title in ("population", "neurons", "heads", "swaps move it", "bake_ leaves in the layout"):
        table.add_column(title)
    for names, one in _alike(report.populations):
        moves = "yes" if one.moves else "no"
        table.add_row(names, f"{one.neurons:,}", str(one.heads), moves, one.stays or "nothing: it is put in order")
    wide_console().print(table)
    if parameters:
        table = Table(box=None)
        for title in ("parameter", "shape", "populations along its axes", "linear layer", "kind"):
            table.add_column(title)
        for wired in report.wired:
            shape = " x ".join(map(str, wired.shape))
            table.add_row(wired.parameter, shape, wired.axes, wired.layer, wired.kind)
        wide_console().print(table)
    if report.left_out:
        print_line(f"left out: {', '.join(report.left_out)}")


def _alike(populations: Iterable[PopulationFacts]) -> Iterable[tuple[str, PopulationFacts]]:
    """Populations with a name for those that differ by nothing but the number of their block."""
    named: dict[tuple[object, ...], list[PopulationFacts]] = {}
    for one in populations:
        key = (BLOCK.sub("blocks.*.", one.name), *one[1:3], *one[4:])
        named.setdefault(key, []).append(one)
    for (name, *_), alike in named.items():
        numbers = [int(one.name.split(".")[1]) for one in alike] if BLOCK.match(alike[0].name) else []
        if len(alike) > 1:
            yield str(name).replace("*", _spans(numbers)), alike[0]
        else:
            yield alike[0].name, alike[0]


def _spans(numbers: list[int]) -> str:
    """[0, 1, 2, 5] as "0-2,5"."""
    runs = [[n for _, n in group] for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
