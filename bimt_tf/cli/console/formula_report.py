"""What ``bimt formula`` prints: the steps with their errors, the definitions, the outputs, the recognised formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bimt_tf.analysis.formula_spelling import as_text
from bimt_tf.cli.console.reports import print_line, wide_console

if TYPE_CHECKING:
    from bimt_tf.analysis.formula_error import Errors
    from bimt_tf.analysis.formula_result import Formula, Step, Written

__all__ = ["print_formula", "telling"]

WORTH_SAYING = 0.9  # R2 of a reading; --json has all


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """On a terminal, say what is being done as long as it is."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("the network is read") as status:
        yield status.update


def print_formula(found: Formula, shown: Written) -> None:
    """A formula: how it came about, what it is, and what else it may be."""
    made = found.made
    n_inputs = f"{made.examples:,} held-out examples"
    token = "" if made.position is None else f", token {made.position}"
    table = Table(title=f"{made.parameters} weights and biases as a formula{token} (errors on {n_inputs})")
    for column in ("step", "size", "max error", "rms error", "R2 network", "R2 targets"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for step in found.steps:
        table.add_row(*_row(step))
    if found.recognised_step is not None:
        table.add_section()
        table.add_row(*_row(found.recognised_step))
    wide_console().print(table)
    for step in found.steps:
        for detail in step.details:
            print_line(f"  {detail}")
    print_line("")
    about = {one.name: one.about for one in shown.program.definitions}
    for line in shown.lines:
        name = line.split(" = ")[0]
        if name in about:
            print_line(f"# {about[name]}{_near(found, name)}")
        print_line(line)
    if found.recognised is not None:
        print_line("\nby its shape, the function is near")
        for line in found.recognised.lines:
            print_line(f"  {line}")
    for note in found.notes:
        print_line(f"note: {note}")


def _near(found: Formula, name: str) -> str:
    """What a definition is near, where it is near something simple."""
    reading = found.readings.get(name)
    if reading is None or reading.r2 < WORTH_SAYING:
        return ""
    return f"; near {as_text(reading.polynomial)} (R2 {reading.r2:.4f})"


def _row(step: Step) -> tuple[str, ...]:
    network, targets = step.network, step.targets
    return (
        step.what, str(step.size), f"{network.max:.2g}", f"{network.rms:.2g}", _r2(network),
        "-" if targets is None else _r2(targets),
    )  # fmt: skip


def _r2(errors: Errors) -> str:
    return "-" if errors.r2 is None else f"{errors.r2:.6f}"
