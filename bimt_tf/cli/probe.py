"""``bimt probe DIR``: which neurons hold a quantity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, Hook, at_of

__all__ = ["Kind", "Target", "Values", "probe"]

Target = Annotated[
    str | None, Parameter(help="what to look for, a quantity of the task, or a name for --values [its own probe's]")
]
Values = Annotated[
    Path | None, Parameter(help="what to look for: a NumPy file (.npy), one number or class for each held-out example")
]
Kind = Annotated[
    Literal["numbers", "classes"] | None,
    Parameter(help="what the target is [classes, if it is few different whole numbers, else numbers]"),
]


def probe(
    directory: Directory,
    /,
    *,
    hook: Hook = None,
    target: Target = None,
    position: Annotated[
        int | None, Parameter(help="token, from 0; negative from the end [every token]", allow_leading_hyphen=True)
    ] = None,
    values: Values = None,
    kind: Kind = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Which neurons of the network in DIRECTORY hold a quantity, beside what the inputs tell.

    Held-out scores of single neurons, pairs and all together, by a linear and a nonlinear regressor; the same of the
    inputs, the stage before, an untrained network and a shuffled target. The answer is kept in DIRECTORY/probes.json.
    """
    from bimt_tf.cli.console.kept import keep_or_note, print_kept, progress_bar
    from bimt_tf.cli.console.probe_report import print_probe, read_values
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.load import load_run

    given = None if values is None else read_values(values)
    run = load_run(directory, device, at=at_of(at))
    with progress_bar("probing") as progress:
        if position is None:
            results = run.probe_tokens(hook, target, values=given, kind=kind, progress=progress)
        else:
            results = [run.probe(hook, position, target, values=given, kind=kind)]
    first = results[0]
    asked = {"hook": first.hook, "target": first.target, "position": position, "values": values, "kind": kind}
    made = how_made(run, part="held-out", examples=first.made.examples, probe_seed=first.made.seed)
    answer = [result.as_dict() for result in results]
    kept = keep_or_note(run, "probes", "probe", asked, made, answer)
    if json:
        return print_json(answer)
    for result in results:
        print_probe(result)
    print_kept(kept)
