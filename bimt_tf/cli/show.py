"""``bimt show DIR``: what one run is and what came of it."""

from __future__ import annotations

from bimt_tf.cli.arguments import AsJson, Device, Directory

__all__ = ["show"]


def show(directory: Directory, /, *, device: Device = "cpu", json: AsJson = False) -> None:
    """Show the run in DIRECTORY: its state, the main settings, and the numbers of its summary.json."""
    from bimt_tf.cli.console.reports import print_json, print_run
    from bimt_tf.runs.load import load_run

    run = load_run(directory, device=device)
    heads = {name: getattr(run.config, name) for name in ("task", "preset", "method", "seed")}
    shown = {"path": str(directory), "state": run.state, **heads, "steps": run.config.training.steps}
    if json:
        print_json({**shown, "summary": run.summary})
    else:
        print_run(shown, run.summary)
