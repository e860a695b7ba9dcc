"""``bimt formula DIR``: what a network computes, in letters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of

__all__ = ["formula"]

Switch = Parameter(negative=(), show_default=False)


def formula(
    directory: Directory,
    /,
    *,
    position: Annotated[
        int | None,
        Parameter(help="token to read at, from the end if negative [what the task reports]", allow_leading_hyphen=True),
    ] = None,
    r2: Annotated[float | None, Parameter(help="keep R2 against the network at least this [0.9999]")] = None,
    max_error: Annotated[
        float | None, Parameter(help="keep every error against the network below this instead")
    ] = None,
    stages: Annotated[bool, Switch, Parameter(help="name every neuron, the residual stream's too")] = False,
    exact: Annotated[
        bool, Switch, Parameter(help="print the network's own formula, before anything is left out")
    ] = False,
    latex: Annotated[bool, Switch, Parameter(help="print LaTeX and nothing else")] = False,
    python: Annotated[Path | None, Parameter(help="also write a Python function into this file")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """What the network in DIRECTORY computes, as a formula with the held-out error of every step that shortened it."""
    from bimt_tf.cli.console.formula_report import FORMULAS, print_formula, telling
    from bimt_tf.cli.console.reports import print_json, print_line
    from bimt_tf.errors import InputError
    from bimt_tf.runs.answers import how_made, keep
    from bimt_tf.runs.ask.formulas import read_formula
    from bimt_tf.runs.atomic import write_atomically
    from bimt_tf.runs.load import load_run

    if json and latex:
        raise InputError("give one of --json and --latex")
    run = load_run(directory, device, at=at_of(at))
    with telling() as told:
        found = read_formula(run, position, r2=r2, max_error=max_error, stages=stages, told=told)
    if python is not None:
        write_atomically(python, found.python().encode())
    asked = {"position": found.made["position"], **found.made["budget"], "stages": stages}
    shown = found.exact if exact else found.written
    if json:
        print_json({**found.as_dict(), "exact": found.exact.lines} if exact else found.as_dict())
    elif latex:
        print_line(shown.latex())
    else:
        print_formula(found, shown)
    try:
        path = keep(run, "formulas", "formula", asked, how_made(run, **found.made), found.as_dict())
    except InputError as error:
        FORMULAS.print(f"the answer is not kept: {error}")
        return
    if not json and not latex:
        print_line(f"kept in {path}" + (f", the function in {python}" if python is not None else ""))
