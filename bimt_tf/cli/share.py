"""``bimt share DIR``: one file for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, Directory

__all__ = ["share"]

_ON = Parameter(negative=(), show_default=False)


def share(
    directory: Directory,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="ZIP file to write [DIRECTORY.zip, in the present folder]")] = None,
    checkpoints: Annotated[
        bool, _ON, Parameter(help="pack checkpoints too, so that training can be gone on with")
    ] = False,
    license: Annotated[str, Parameter(help="of the weights, as the Hugging Face Hub spells it, e.g. mit")] = "unknown",
    push: Annotated[
        str | None, Parameter(help="USER/NAME: upload to this repository of the Hugging Face Hub instead")
    ] = None,
    private: Annotated[bool, _ON, Parameter(help="with --push: a new repository is private")] = False,
    json: AsJson = False,
) -> None:
    """Pack the run in DIRECTORY into one ZIP file with a model card, which load_run opens anywhere."""
    from bimt_tf.cli.console.reports import print_json, print_line
    from bimt_tf.errors import InputError
    from bimt_tf.runs.share import push as upload
    from bimt_tf.runs.share import share as pack

    if push is not None:
        if out is not None:
            raise InputError("give --out for a file or --push for the Hub, not both")
        address = upload(directory, push, checkpoints=checkpoints, license=license, private=private)
        print_json({"address": address}) if json else print_line(f"shared: {address}")
        return
    if private:
        raise InputError("--private is of a repository of the Hub: give --push USER/NAME too")
    out = out if out is not None else Path(f"{directory.resolve().name}.zip")
    names = pack(directory, out, checkpoints=checkpoints, license=license)
    if json:
        print_json({"file": str(out), "files": names})
    else:
        print_line(f"shared: {out} ({len(names)} files, {out.stat().st_size:,} bytes)")
