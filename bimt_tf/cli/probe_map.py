"""``bimt probe-map DIR``: where a quantity appears."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of, words_of
from bimt_tf.cli.probe import Kind, Target, Values

__all__ = ["probe_map"]


def probe_map(
    directory: Directory,
    /,
    *,
    target: Target = None,
    hooks: Annotated[
        str, Parameter(show_default=False, help="which hooks, e.g. hook_embed,blocks.0.hook_resid_post [all]")
    ] = "",
    values: Values = None,
    kind: Kind = None,
    nonlinear: Annotated[
        bool, Parameter(negative=(), show_default=False, help="by the nonlinear regressor, which takes longer")
    ] = False,
    figure: Annotated[Path | None, Parameter(help="draw it into this file: .png, .pdf or .svg")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Where in the network in DIRECTORY a quantity appears: every hook, token and head.

    Held-out read-outs of all neurons of each place, with their gains over the inputs that reach it and over the stage
    before, and an untrained network's read-out. The answer is kept in DIRECTORY/probes.json.
    """
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.probe_report import print_map, read_values
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.figure_files import form_of, write_figure
    from bimt_tf.runs.load import load_run

    form = form_of(figure)
    chosen, given = words_of(hooks, "--hooks") or None, None if values is None else read_values(values)
    run = load_run(directory, device, at=at_of(at))
    regressor: Literal["linear", "nonlinear"] = "nonlinear" if nonlinear else "linear"
    with progress_bar("probing") as progress:
        found = run.probe_map(target, values=given, hooks=chosen, kind=kind, regressor=regressor, progress=progress)
    first = found.cells[0].made
    asked = {"target": found.target, "hooks": chosen, "values": values, "kind": kind, "regressor": regressor}
    made = how_made(run, part="held-out", examples=first.examples, probe_seed=first.seed)
    kept = keep_or_note(run, "probes", "probe-map", asked, made, found.as_dict())
    if json:
        print_json(found.as_dict())
    else:
        print_map(found)
    if figure is not None:
        from bimt_tf.figures.probe_map import probe_map_figure

        write_figure(probe_map_figure(found), figure, form)
    if not json:
        print_kept(kept, figure)
