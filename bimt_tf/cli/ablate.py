"""``bimt ablate DIR``: how the loss rises without neurons."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, Hook, at_of
from bimt_tf.config.values import read_word

__all__ = ["ablate"]


def ablate(
    directory: Directory,
    /,
    *,
    hook: Hook = None,
    neurons: Annotated[str, Parameter(help="numbers to knock out together, e.g. 3,17 [each in turn]")] = "",
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """How the test loss of the network in DIRECTORY rises when neurons are set to their mean."""
    from bimt_tf.cli.console.reports import print_ablation, print_json
    from bimt_tf.runs.ask.usual import usual_probe
    from bimt_tf.runs.load import load_run

    chosen = read_word(tuple[int, ...], neurons, "--neurons")
    run = load_run(directory, device, at=at_of(at))
    found = run.ablate(hook=hook, neurons=chosen)
    if json:
        print_json([one.as_dict() for one in found])
    else:
        print_ablation(found, hook or usual_probe(run).hook, chosen)
