"""``bimt group DIR``: what the embedding of a group task holds of the group."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of

__all__ = ["group"]


def group(
    directory: Directory,
    /,
    *,
    draws: Annotated[int, Parameter(help="how often chance deals the elements' labels anew")] = 2_000,
    seed: Annotated[int, Parameter(help="of chance")] = 0,
    figures: Annotated[
        bool, Parameter(negative=(), show_default=False, help="also write DIRECTORY/figures/group-*.png and .pdf")
    ] = False,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """What the embedding of the network in DIRECTORY holds of the group that it multiplies in."""
    from bimt_tf.cli.console.group_tables import print_group
    from bimt_tf.cli.console.kept import keep_or_note, print_kept
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.ask.groups import tokens_of, write_figures
    from bimt_tf.runs.load import load_run

    run = load_run(directory, device, at=at_of(at))
    found = run.group(draws, seed)
    tokens = tokens_of(run, found.neurons)
    mirrors = run.group_mirrors(found)
    result = {**found.as_dict(), "tokens": tokens, "mirrors": [one._asdict() for one in mirrors]}
    asked = {"draws": draws, "seed": seed}
    made = how_made(run, examples=len(found.group), draws=draws)
    kept = keep_or_note(run, "modules", "group", asked, made, result)
    heading = f"{run.config.task}, seed {run.config.seed}, {run.active_weights:,} weights"
    if json:
        print_json(result)
    else:
        print_group(found, heading, tokens, mirrors)
    drawn = write_figures(run, run.group_figures(found)) if figures else []
    if not json:
        print_kept(kept, *drawn)
