"""``bimt modules DIR``: the modules of a network, against chance and other runs, and what each one does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of

__all__ = ["modules"]

LONG = 400_000
"""Weights of all networks that are drawn from one null model, from which on it takes minutes, and a note says so."""

Runs = Annotated[
    list[Path] | None,
    Parameter(
        negative=(), consume_multiple=True, help="other runs of about as many weights, e.g. L1 runs, to stand beside"
    ),
]


def modules(
    directory: Directory,
    /,
    *,
    against: Runs = None,
    draws: Annotated[int, Parameter(help="networks drawn from each null model; 0 for none")] = 200,
    method: Annotated[
        str, Parameter(help="how modules are found: greedy (the paper's), louvain or refined")
    ] = "greedy",
    residual: Annotated[str, Parameter(help="residual stream: shared (one set of neurons) or unrolled")] = "shared",
    resolution: Annotated[float, Parameter(help="above 1 for more and smaller modules")] = 1.0,
    outputs: Annotated[
        bool, Parameter(help="sort outputs into modules too; without them each module may vote for all outputs")
    ] = True,
    examples: Annotated[int, Parameter(help="held-out examples to measure on, at most")] = 500,
    seed: Annotated[int, Parameter(help="of draws, restarts and random sets")] = 0,
    figure: Annotated[Path | None, Parameter(help="draw the network with its modules into this file")] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Modules of the network in DIRECTORY: named, tested against chance, each knocked out and kept alone.

    The answer is kept in DIRECTORY/modules.json.
    """
    from bimt_tf.adapters.stage_hooks import place_names
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.module_report import print_modules
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.ask.modules import graph_of
    from bimt_tf.runs.figure_files import form_of, write_figure
    from bimt_tf.runs.load import load_run
    from bimt_tf.runs.matched_runs import matched_run

    form = form_of(figure)
    run = load_run(directory, device, at=at_of(at))
    asked: dict[str, Any] = {
        "residual": residual, "method": method, "resolution": resolution, "outputs": outputs,
        "draws": draws,
    }  # fmt: skip
    weights = graph_of(run).number_of_edges()
    if draws * weights > LONG:
        _note_long(draws, weights)
    others = [matched_run(path, weights, device) for path in against or ()]
    with progress_bar("drawing networks of the null models") as progress:
        report = run.modules(**asked, against=others, n=examples, seed=seed, progress=progress)
    made = how_made(run, part="held-out", examples=report.effects.examples, sampler_seed=seed)
    kept = keep_or_note(
        run, "modules", "modules", {**asked, "against": list(map(str, against or ()))}, made, report.as_dict()
    )
    if json:
        print_json(report.as_dict())
    else:
        print_modules(report, place_names(run.model, run.bimt.wiring))
    if figure is not None:
        write_figure(run.modules_figure(report), figure, form)
    if not json:
        print_kept(kept, figure)


def _note_long(draws: int, weights: int) -> None:
    """Say on stderr that there is much to draw, and what takes less."""
    fewer = LONG // weights
    less = f"--draws {fewer} takes less" if fewer >= 20 else "--draws 0 leaves them out"
    sys.stderr.write(
        f"note: modules are found anew in {draws:,} networks of {weights:,} weights from each null model, which may "
        f"take minutes; {less}\n"
    )
