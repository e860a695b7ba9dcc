"""``bimt prune DIR``: weights left against test loss."""

from __future__ import annotations

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, at_of

__all__ = ["prune"]


def prune(directory: Directory, /, *, at: At = "shown", device: Device = "cpu", json: AsJson = False) -> None:
    """Weights left against test loss as small weights of the network in DIRECTORY are cut (nothing is written)."""
    from bimt_tf.cli.console.reports import print_json, print_pruning
    from bimt_tf.runs.load import load_run

    points = load_run(directory, device, at=at_of(at)).prune()
    if json:
        print_json([point.as_dict() for point in points])
    else:
        print_pruning(points)
