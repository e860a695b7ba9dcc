"""``bimt show DIR``: what one run is and what came of it. The files say all of it; no model is built."""

from __future__ import annotations

from bimt_tf.cli.arguments import AsJson, At, Directory, at_of

__all__ = ["show"]


def show(directory: Directory, /, *, at: At = "shown", json: AsJson = False) -> None:
    """Show the run in DIRECTORY: its state, the main settings, and the numbers of its summary.json."""
    from bimt_tf.cli.console.reports import print_json, print_run
    from bimt_tf.runs.directory import RunDirectory
    from bimt_tf.runs.point_summary import summary_at
    from bimt_tf.runs.state import state_of

    run = RunDirectory.open(directory)
    config, summary = run.config, summary_at(run, run.elimination.number_of(at_of(at)))
    heads = {name: getattr(config, name) for name in ("task", "preset", "method", "seed")}
    state = state_of(run.path, config.training.steps).text
    shown = {"path": str(directory), "state": state, **heads, "steps": config.training.steps}
    if json:
        print_json({**shown, "summary": summary})
    else:
        print_run(shown, summary)
