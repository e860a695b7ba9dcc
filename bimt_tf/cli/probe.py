"""``bimt probe DIR``: which neurons hold a quantity."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, Hook, at_of

__all__ = ["probe"]


def probe(
    directory: Directory,
    /,
    *,
    hook: Hook = None,
    target: Annotated[str | None, Parameter(help="what to look for, a quantity of the task [its own probe's]")] = None,
    position: Annotated[
        int | None, Parameter(help="token, from 0; negative from the end [every token]", allow_leading_hyphen=True)
    ] = None,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """Which neurons of the trained network in DIRECTORY hold a quantity (held-out R2)."""
    from bimt_tf.cli.console.reports import print_json, print_probe
    from bimt_tf.runs.ask.usual import usual_probe
    from bimt_tf.runs.load import load_run

    run = load_run(directory, device, at=at_of(at))
    every = position is None
    results = run.probe_tokens(hook, target) if every else [run.probe(hook, position, target)]
    if json:
        print_json([result.as_dict() for result in results])
        return
    target = target or usual_probe(run).target
    for result in results:
        print_probe(result, target)
