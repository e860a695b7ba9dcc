"""``bimt edges DIR``: what each weight that is left does."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of
from bimt_tf.cli.intervening import PairCount, Seed, Target

__all__ = ["edges"]


def edges(
    directory: Directory,
    /,
    *,
    target: Target = None,
    top: Annotated[int, Parameter(help="weights to print; --json and interventions.json hold all")] = 20,
    pairs: PairCount = 500,
    seed: Seed = 0,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """What each weight of the network in DIRECTORY does: to the test loss without it, and to the output with another
    example's TARGET on it alone.

    The answer is kept in DIRECTORY/interventions.json.
    """
    from bimt_tf.adapters.stage_hooks import stage_hooks
    from bimt_tf.cli.console.causal_report import print_edges
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.errors import require_whole
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.ask.pairs import target_of
    from bimt_tf.runs.load import load_run

    require_whole("--top", top)
    run = load_run(directory, device, at=at_of(at))
    target = target_of(run, target, optional=True)
    asked: dict[str, Any] = {"target": target or None, "pairs": pairs, "seed": seed}
    with progress_bar("weights") as progress:
        found = run.edge_effects(**asked, progress=progress)
    made = how_made(run, part="held-out", examples=found.examples, pairs=found.pairs, partners_seed=seed)
    kept = keep_or_note(run, "interventions", "edges", asked, made, found.as_dict())
    if json:
        return print_json(found.as_dict())
    print_edges(found, target, top, stage_hooks(run.model, run.bimt.wiring))
    print_kept(kept)
