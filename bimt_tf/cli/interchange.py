"""``bimt interchange DIR``: how far the output goes with neurons of another run."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of
from bimt_tf.cli.intervening import Neurons, Others, PairCount, PositionText, Seed, Sets, Target, numbers, positions

__all__ = ["interchange"]


def interchange(
    directory: Directory,
    /,
    *,
    hook: Annotated[str | None, Parameter(help="where, a hook's name [every stage and token in turn]")] = None,
    neurons: Neurons = "",
    position: PositionText = "",
    target: Target = None,
    others: Others = "same",
    pairs: PairCount = 500,
    random_sets: Sets = 200,
    seed: Seed = 0,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """How far the output of the network in DIRECTORY moves when neurons are taken from a run with another TARGET.

    Without --hook: all neurons of each stage and token in turn. The answer is kept in DIRECTORY/interventions.json.
    """
    from bimt_tf.cli.console.causal_report import print_interchange, print_interchange_map
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.errors import InputError
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.ask.pairs import target_of
    from bimt_tf.runs.load import load_run

    chosen, tokens = numbers(neurons, "--neurons"), positions(position)
    if hook is None and (chosen or position):
        raise InputError("--neurons and --position belong to a hook: give --hook too")
    run = load_run(directory, device, at=at_of(at))
    target = target_of(run, target)
    asked: dict[str, Any] = {"target": target, "pairs": pairs, "others": others, "seed": seed}
    made = how_made(run, part="held-out", partners_seed=seed)
    if hook is None:
        rows = run.interchange_map(**asked)
        answer = [row.as_dict() for row in rows]
        kept = keep_or_note(run, "interventions", "interchange-map", asked, made, answer)
        if json:
            return print_json(answer)
        print_interchange_map(rows, target)
        return print_kept(kept)
    asked |= {"hook": hook, "neurons": chosen, "position": tokens, "random_sets": random_sets}
    with progress_bar("random sets") as progress:
        found = run.interchange(**asked, progress=progress)
    kept = keep_or_note(run, "interventions", "interchange", asked, {**made, "pairs": found.pairs}, found.as_dict())
    if json:
        return print_json(found.as_dict())
    print_interchange(found, target)
    print_kept(kept)
