"""``bimt export DIR``: the connection graph for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of

__all__ = ["export"]


def export(
    directory: Directory,
    /,
    *,
    form: Annotated[str, Parameter(name="--format", help="graphml, gexf or json")] = "graphml",
    residual: Annotated[
        Literal["shared", "unrolled"], Parameter(help="residual stream: once, or at each depth")
    ] = "shared",
    out: Annotated[Path | None, Parameter(help="file to write [DIRECTORY/graph.FORMAT]")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Write the connection graph of the network in DIRECTORY for other tools."""
    from bimt_tf.cli.console.reports import print_json, print_line
    from bimt_tf.runs.load import load_run

    out = out if out is not None else directory / f"graph.{form}"
    load_run(directory, device, at=at_of(at)).export(out, form, residual)
    if json:
        print_json({"graph": str(out)})
    else:
        print_line(f"graph: {out}")
