"""``bimt align DIR DIR ...``: the same neurons in several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, at_of
from bimt_tf.errors import InputError

__all__ = ["align"]


def align(
    *directories: Annotated[Path, Parameter(help="run directories of one shape, two or more")],
    by: Annotated[
        Literal["activations", "weights"], Parameter(help="what is compared: what neurons do, or their weights")
    ] = "activations",
    reference: Annotated[
        str | None, Parameter(help="name of the run that the others are matched to [the one most like all others]")
    ] = None,
    examples: Annotated[int, Parameter(help="held-out examples of the first run that all see, at most")] = 1_000,
    draws: Annotated[int, Parameter(help="rewired copies of each network, for what chance gives")] = 50,
    seed: Annotated[int, Parameter(help="of those copies")] = 0,
    figure: Annotated[Path | None, Parameter(help="also draw the networks in one order into this file")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Match the neurons of several runs: what recurs across seeds, beside what chance gives."""
    if len(directories) < 2:
        raise InputError(f"bimt align takes two run directories or more, found {len(directories)}")
    from bimt_tf.adapters.stage_hooks import place_names
    from bimt_tf.cli.console.align_report import print_alignment
    from bimt_tf.cli.console.kept import print_kept, progress_bar
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.runs.aligned_figure import figure_of
    from bimt_tf.runs.ask.align import align as asked
    from bimt_tf.runs.figure_files import form_of, write_figure
    from bimt_tf.runs.load import load_run

    form = form_of(figure)
    runs = [load_run(directory, device, at=at_of(at)) for directory in directories]
    with progress_bar("aligning networks") as progress:
        found = asked(runs, by=by, examples=examples, reference=reference, draws=draws, seed=seed, progress=progress)
    if json:
        print_json(found.as_dict())
    else:
        print_alignment(found, place_names(runs[0].model, runs[0].bimt.wiring))
    if figure is not None:
        write_figure(figure_of(found, runs), figure, form)
    if not json:
        print_kept(None, figure)
