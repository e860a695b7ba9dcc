"""``bimt report DIR``: the run as one HTML file that opens anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of

__all__ = ["report"]


def report(
    directory: Directory,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="file to write [DIRECTORY/report.html]")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Write the page of the run in DIRECTORY: one HTML file to explore its network in, without server or network.

    bimt train writes it too. Answers that were kept since then (bimt modules, ablate, edges ...) come in when it is
    written anew.
    """
    from bimt_tf.cli.console.links import print_path
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.errors import InputError
    from bimt_tf.runs.atomic import require_path
    from bimt_tf.runs.load import load_run
    from bimt_tf.runs.page_file import PAGE, write_page

    if out is None and at != "shown":
        raise InputError(f"{PAGE} shows the point that summary.json tells of: give --out FILE for --at {at}")
    if out is None and require_path(directory).is_file():
        raise InputError(f"{directory} is a file: give --out FILE, where its page is to be")
    out = out if out is not None else directory / PAGE
    size = write_page(load_run(directory, device, at=at_of(at)), out)
    if json:
        print_json({"page": str(out), "bytes": size})
    else:
        print_path("page:", out, f"({size:,} bytes)")
