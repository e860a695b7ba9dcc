"""``bimt minimal-set DIR``: the smallest set of neurons that carries a quantity."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of
from bimt_tf.cli.intervening import Others, PairCount, PositionText, Seed, Sets, Target, positions

__all__ = ["minimal_set"]


def minimal_set(
    directory: Directory,
    /,
    *,
    hook: Annotated[str | None, Parameter(help="where, a hook's name [every stage]")] = None,
    position: PositionText = "",
    target: Target = None,
    reach: Annotated[float, Parameter(help="share of the wanted change that the set must reach")] = 0.9,
    largest: Annotated[int | None, Parameter(help="do not look for sets of more neurons")] = None,
    checks: Annotated[int, Parameter(help="runs that the proof of the smallest size may take")] = 2_000,
    others: Others = "same",
    pairs: PairCount = 500,
    random_sets: Sets = 200,
    seed: Seed = 0,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """The smallest set of neurons of the network in DIRECTORY that carries TARGET: whose interchange moves the output.

    Without --hook: at each stage, at the tokens through which it passes whole; where there is none, at the fewest of
    those that matter. The answers are kept in DIRECTORY/interventions.json.
    """
    from bimt_tf.cli.console.causal_report import print_minimal_sets
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.errors import InputError
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.ask.causes import smallest_set_at_fewest_tokens, where_it_passes
    from bimt_tf.runs.ask.pairs import target_of
    from bimt_tf.runs.load import load_run

    if hook is None and position:
        raise InputError("--position belongs to a hook: give --hook too")
    run = load_run(directory, device, at=at_of(at))
    target = target_of(run, target)
    asked: dict[str, Any] = {"target": target, "pairs": pairs, "others": others, "seed": seed}
    if hook is None:
        places = where_it_passes(run.interchange_map(**asked), reach)
    else:
        places = [(hook, positions(position))]
    asked |= {"reach": reach, "largest": largest, "checks": checks, "random_sets": random_sets}
    with progress_bar("sets of neurons") as progress:
        search = run.minimal_set if hook else partial(smallest_set_at_fewest_tokens, run)
        found = [search(*place, **asked, progress=progress) for place in places]
    kept = None
    for one in found:
        made = how_made(run, part="held-out", partners_seed=seed, pairs=one.pairs)
        where = {"hook": one.hook, "position": one.position}
        kept = keep_or_note(run, "interventions", "minimal-set", {**where, **asked}, made, one.as_dict())
        if kept is None:
            break
    if json:
        return print_json([one.as_dict() for one in found])
    print_minimal_sets(found, target)
    print_kept(kept)
