"""``bimt export DIR``: the connection graph for other tools, or a fine-tuned model for transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of
from bimt_tf.errors import InputError

__all__ = ["export"]


def export(
    directory: Directory,
    /,
    *,
    form: Annotated[
        str, Parameter(name="--format", help="graphml, gexf or json; huggingface: a fine-tuned model for transformers")
    ] = "graphml",
    residual: Annotated[
        Literal["shared", "unrolled"], Parameter(help="residual stream: once, or at each depth")
    ] = "shared",
    effects: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="also knock out every neuron: its effect on the test loss"),
    ] = False,
    out: Annotated[
        Path | None,
        Parameter(help="file to write [DIRECTORY/graph.FORMAT]; for huggingface, a folder that must be given"),
    ] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Write the connection graph of the network in DIRECTORY for other tools, or a fine-tuned model for transformers.

    Neurons carry place, head, module, activity and effect, edges weight, sign and parameter. Effects that were computed
    once are kept in DIRECTORY/interventions.json and written from then on.
    """
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.reports import print_json, print_line
    from bimt_tf.runs.ask.circuits import export as write
    from bimt_tf.runs.ask.circuits import neuron_effects
    from bimt_tf.runs.export_model import PLAIN, save_plain
    from bimt_tf.runs.kept_effects import ASKED, QUESTION, effects_made, kept_effects
    from bimt_tf.runs.load import load_run

    run = load_run(directory, device, at=at_of(at))
    if form == PLAIN:
        if out is None:
            raise InputError("--format huggingface needs --out, a folder to write; DIRECTORY/huggingface is there")
        folder = save_plain(run, out)
        return print_json({"model": str(folder)}) if json else print_line(f"for transformers: {folder}")
    out = out if out is not None else directory / f"graph.{form}"
    found = kept_effects(run)
    if effects and found is None:
        with progress_bar("knocking out neurons") as progress:
            found = neuron_effects(run, progress)
    write(run, out, form, residual, found)
    kept = None
    if effects:
        kept = keep_or_note(run, "interventions", QUESTION, ASKED, effects_made(run), found)
    if json:
        return print_json({"graph": str(out)})
    print_line(f"graph: {out}")
    print_kept(kept)
